"""Models by a name that a person types."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from sgt.app.find import find_model
from sgt.app.open import open_by_name
from sgt.commands.main import main
from sgt.errors import SgtError
from sgt.identity import write_record
from sgt.models.released import write_model_file
from sgt.models.rules import model_identity
from sgt.study.load import load_model_spec

RUN = Path("results/runs/micro/sft/seed0")


@pytest.fixture
def record(study):
    """Of a finished run; the weights are not read here."""
    identity = {"model": model_identity(load_model_spec("micro"))}
    return {"model": "micro", "arm": "sft", "identity": identity}


def test_a_name_is_that_of_a_base_model(study):
    spec, folder = find_model("micro")
    assert (spec.name, folder) == ("micro", Path("base/micro"))


def test_a_run_has_its_own_weights_and_the_arm_base_those_of_the_model(record):
    RUN.mkdir(parents=True)
    write_record(RUN / "run.json", record)
    assert find_model(str(RUN))[1] == RUN / "final"
    write_record(RUN / "run.json", {**record, "arm": "base"})
    assert find_model(str(RUN))[1] == Path("base/micro")


def test_a_run_of_a_model_that_has_changed_is_refused(record):
    RUN.mkdir(parents=True)
    write_record(RUN / "run.json", record)
    file = Path("config/models/micro.yaml")
    size = {"max_image_size": 40, "min_image_size": 40, "image_stride": 8}
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), "input_image": size}))
    for opened in (lambda: find_model(str(RUN)), lambda: open_by_name("micro/sft/seed0")):
        with pytest.raises(SgtError, match=r"run\.json: was made with another config/models/micro\.yaml: vit_image"):
            opened()


def test_an_exported_folder_needs_no_file_of_the_study(study):
    shutil.copytree("base/micro", "release")
    write_model_file(load_model_spec("micro"), Path("release"))
    shutil.rmtree("config")
    spec, folder = find_model("release")
    assert (spec.name, folder, spec.checkpoint) == ("micro", Path("release"), "release")


def test_what_is_no_model_is_an_error(study):
    Path("empty").mkdir()
    with pytest.raises(SgtError, match=re.escape("empty: has neither run.json nor sgt.yaml")):
        find_model("empty")
    with pytest.raises(SgtError, match="nothing"):
        find_model("nothing")


@pytest.mark.parametrize(
    "text",
    ["a: [", "{models: 1, arms: [sft], seeds: [0], results: 5}", "{models: [], arms: 3, seeds: [], transplants: 7}"],
)
def test_a_study_file_with_an_error_is_in_the_way_of_no_other(text, study, capsys):
    Path("config/draft.yaml").write_text(text)
    assert main(["ls", "runs"]) == 0
    captured = capsys.readouterr()
    assert "micro/sft/seed0" in captured.out and "left out config/draft.yaml: " in captured.err
    for name in ("micro/sft/seed0", "micro"):
        assert main(["info", name]) == 0
    assert "studies  config/micro.yaml" in capsys.readouterr().out
