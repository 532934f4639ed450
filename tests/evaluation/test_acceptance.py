"""Whether a base model is good enough: the verdicts, and that the weights of this project passed."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml

from sgt.atomic import sha256
from sgt.commands.main import main
from sgt.config.models import Acceptance
from sgt.data.dataset import open_dataset
from sgt.evaluation import acceptance, base_model
from sgt.evaluation.acceptance import criteria
from sgt.evaluation.base_model import Measured
from sgt.identity import read_record
from sgt.models.examples import Example, InputImage
from sgt.models.tower import TowerHealth
from sgt.study.identity import ACCEPTANCE
from sgt.training.examples import edit_source
from tests.conftest import sgt

BASES = sorted((Path(__file__).parents[2] / "data/base").glob("*/"))
WORDS = ["accept", "config/micro.yaml", "--model", "micro"]
TOWER = TowerHealth(60.0, 128, [0.0, 0.049], [3.0, 3.0], [3.58, 3.58], [1.1, 1.1], 64)
GOOD = Measured(
    tower=TOWER,
    use_edit=0.7,
    use_sharpen=0.8,
    left_right=0.85,
    shape=0.55,
    shape_low=0.5,
    shape_chance=0.27,
    generation=0.6,
)


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({}, None),
        ({"tower": None}, None),
        ({"tower": replace(TOWER, rank=49.9)}, "rank is 49.9, required: at least 50"),
        ({"tower": replace(TOWER, dead=[0.06, 0.0])}, "dead is 0.06, required: at most 0.05"),
        ({"use_edit": 0.49}, "use_edit is 0.49, required: at least 0.5"),
        ({"use_sharpen": float("nan")}, "use_sharpen is nan, required: at least 0.5"),
        ({"left_right": 0.79}, "left_right is 0.79, required: at least 0.8"),
        ({"shape": 0.81}, "shape is 0.81, required: at most 0.8"),
        ({"shape_low": 0.26}, "shape_low is 0.26, required: at least 0.27"),
        ({"generation": 0.41}, "generation is 0.41, required: at least 0.5"),
    ],
)
def test_each_criterion_is_met_or_missed_alone(changes, missed):
    checked = criteria(replace(GOOD, **changes), Acceptance())
    assert [str(each) for each in checked if not each.passed] == ([missed] if missed else [])
    assert len(checked) == (6 if changes == {"tower": None} else 8)


def test_limits_are_those_of_the_model_file():
    checked = {each.name: each for each in criteria(GOOD, Acceptance(min_rank=70.0, max_shape=0.5, min_use=0.75))}
    assert {name for name, each in checked.items() if not each.passed} == {"rank", "shape", "use_edit"}


def test_an_untrained_base_is_refused_with_a_line_per_criterion(study, monkeypatch, capsys, caplog):
    counts = {"SCENES": 24, "TOWER_SCENES": 8, "USE_SCENES": 6, "CAPTION_SCENES": 4, "AT_ONCE": 5}
    for name, count in counts.items():
        monkeypatch.setattr(base_model, name, count)
    before = {path.name: sha256(path) for path in Path("base/micro").iterdir()}
    with caplog.at_level(logging.INFO):
        assert main(WORDS) == 1
    record = read_record(Path("base/micro") / ACCEPTANCE)
    found = {each["name"]: each for each in record["criteria"]}
    missed = [name for name, each in found.items() if not each["passed"]]
    assert not record["passed"] and {"use_edit", "use_sharpen", "left_right", "generation"} <= set(missed)
    assert abs(found["use_edit"]["value"]) < 0.1 and abs(found["use_sharpen"]["value"]) < 0.1
    assert found["rank"]["value"] == pytest.approx(record["tower"]["rank"], abs=1e-4)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if ": error: " in line]
    assert line.startswith("sgt accept: error: base/micro: not accepted: ") and all(
        f"{name} is " in line for name in missed
    )
    lines = [record.message for record in caplog.records if record.message.startswith(("met: ", "NOT MET: "))]
    assert len(lines) == len(found) and sum(line.startswith("NOT MET") for line in lines) == len(missed)
    # The weights stay as they are, and the record names them.
    assert {path.name: sha256(path) for path in Path("base/micro").iterdir() if path.name != ACCEPTANCE} == before
    assert record["sha256"] == {name: before[name] for name in ("ae.safetensors", "ema.safetensors")}


def test_a_good_base_is_accepted(study, monkeypatch):
    monkeypatch.setattr(acceptance, "measure_base", lambda *given: GOOD)
    sgt(*WORDS, "--out", "elsewhere/acceptance.json")
    record = json.loads(Path("elsewhere/acceptance.json").read_text())
    assert record["passed"] and all(each["passed"] for each in record["criteria"])
    assert not Path("base/micro", ACCEPTANCE).exists()


def test_a_model_without_limits_or_of_another_study_is_refused(study, capsys):
    path = Path("config/models/micro.yaml")
    spec = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({name: value for name, value in spec.items() if name != "pretrain"}))
    assert main(WORDS) == 1 and main([*WORDS[:3], "other"]) == 1
    first, second = [line for line in capsys.readouterr().err.splitlines() if ": error: " in line]
    assert "model micro: has no pretrain recipe" in first and "has no model 'other'" in second


def test_use_compares_the_right_image_with_that_of_another_scene(tmp_path, monkeypatch):
    monkeypatch.setattr(base_model, "USE_SCENES", 7)
    monkeypatch.setattr(base_model, "AT_ONCE", 3)
    sgt("toyworld", tmp_path, "--split", "validation", "--scenes", 7, "--edits", "--workers", 1)
    source, seeds_of = edit_source(open_dataset(tmp_path)), {}
    right = [source.make(base_model.held_out_draw(place)) for place in range(7)]
    shown = [image_bytes(example) for example in right]

    def velocity_errors(examples: list[Example], seeds: list[int], time: float) -> torch.Tensor:
        errors = []
        for example, seed in zip(examples, seeds, strict=True):
            place = next(place for place, own in enumerate(right) if own[1:] == example[1:])
            # The same noise for both images.
            assert seeds_of.setdefault(place, seed) == seed and time == 0.82
            errors.append(0.2 if image_bytes(example) == shown[place] else 0.8)
        return torch.tensor(errors)

    assert base_model._use(SimpleNamespace(velocity_errors=velocity_errors), source) == pytest.approx(0.75)
    assert len(set(seeds_of.values())) == 7


def image_bytes(example: Example) -> bytes:
    (image,) = (part.image for part in example if isinstance(part, InputImage))
    return image.tobytes()


@pytest.mark.skipif(not BASES, reason="data/base is not there: dvc pull, or make study")
@pytest.mark.parametrize("base", BASES, ids=lambda base: base.name)
def test_the_weights_of_this_project_passed(base):
    record = read_record(base / ACCEPTANCE)
    assert record["passed"] and all(each["passed"] for each in record["criteria"])
    assert record["sha256"] == {str(path.relative_to(base)): sha256(path) for path in base.rglob("*.safetensors")}
