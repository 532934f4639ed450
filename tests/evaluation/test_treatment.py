"""Whether a proxy arm learned its proxy: what the check measures, records and refuses."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sgt.commands.main import main
from sgt.data.dataset import open_dataset
from sgt.data.shards import read_shard
from sgt.errors import SgtError
from sgt.evaluation.check_treatment import KINDS, compare, held_out_items
from sgt.evaluation.statistics import bootstrap
from sgt.evaluation.treatment import read_treatment
from sgt.models.examples import InputImage
from sgt.models.registry import load_model, target_transform
from sgt.proxies import PROXIES
from sgt.proxies.fidelity import PSNR, SSIM
from sgt.study.load import load_study
from sgt.study.results import Results
from sgt.training.image_use import swapped, use_of
from tests.conftest import STUDY, sgt, write_study

WORDS = ["config/micro.yaml", "--model", "micro", "--arm", "segmentation", "--seed", "0"]
CHECK = Path("results/scores/micro/segmentation/seed0/treatment.json")
IMAGES = Path("results/predictions/micro/segmentation/seed0/targets/images.tar")


def loaded_run():
    study = load_study("config/micro.yaml")
    return study, study.run("micro", "segmentation", 0)


def test_the_bootstrap_has_the_spread_of_a_mean_and_of_a_ratio():
    draws = np.random.default_rng(1).normal(5, 2, size=(400, 2))
    mean = bootstrap(draws[:, :1], lambda means: means[..., 0])
    assert mean.value == draws[:, 0].mean() and mean.n == 400
    half = 1.96 * draws[:, 0].std() / 20
    assert (mean.low, mean.high) == pytest.approx((mean.value - half, mean.value + half), abs=0.03)
    # A ratio of two values that go together is known better than either.
    both = bootstrap(np.stack([draws[:, 0], 2 * draws[:, 0]], axis=1), lambda means: means[..., 0] / means[..., 1])
    assert (both.value, both.low, both.high) == pytest.approx((0.5, 0.5, 0.5))
    with pytest.raises(ValueError, match="no items"):
        bootstrap(np.zeros((0, 1)), lambda means: means[..., 0])


def test_another_image_takes_the_place_of_the_input_alone(study):
    loaded = load_study("config/micro.yaml")
    model = load_model(loaded.models["micro"], Path("base/micro"))
    first, second = held_out_items(loaded, loaded.proxy("segmentation"), model)[:2]
    image, prompt, target = swapped(first.example, second.example)
    assert image == InputImage(second.given) and [prompt, target] == list(first.example[1:])


def test_the_check_of_a_run_end_to_end(study, capsys):
    sgt("train", *WORDS)
    sgt("treatment", *WORDS)
    loaded, run = loaded_run()
    treatment = read_treatment(loaded, run)
    assert (treatment.proxy, treatment.dataset, treatment.items, treatment.time) == ("segmentation", "test", 24, 0.82)
    fidelity = treatment.fidelity
    assert (fidelity.name, fidelity.unit, fidelity.higher_is_better, fidelity.range) == (
        "matched IoU",
        "",
        True,
        (0, 1),
    )
    assert treatment.more == ()
    estimates = [treatment.use, fidelity.made, fidelity.floor, fidelity.ceiling]
    assert all(each.low <= each.value <= each.high and each.n == 24 for each in estimates)
    # Six steps teach nothing, and the report must not take it for a treatment.
    assert abs(treatment.use.value) < 0.1 and not treatment.is_administered

    record = json.loads(CHECK.read_text())
    assert record["command"].startswith("sgt treatment config/micro.yaml --model micro")
    table = record["images"]
    assert use_of(table["right_error"], table["wrong_error"]) == pytest.approx(treatment.use.value)
    assert np.mean(table["matched IoU made"]) == pytest.approx(fidelity.made.value)
    samples = list(read_shard(IMAGES))
    assert [sample.key for sample in samples] == table["id"] == open_dataset(loaded.dataset_dir("test")).keys
    assert set(samples[0].files) == {"png", "target.png", "input.png"}

    sgt("treatment", *WORDS)
    again = json.loads(CHECK.read_text())
    assert (again["images"], again["images_sha256"]) == (table, record["images_sha256"])


def test_a_check_is_current_for_its_run_proxy_sampler_and_images_alone(study):
    sgt("train", *WORDS)
    sgt("treatment", *WORDS)

    def fault(**changes) -> str | None:
        write_study(Path(), **changes)
        return Results(load_study(study)).fault(Results(load_study(study)).treatment(loaded_run()[1]))

    assert fault() is None
    data = STUDY["data"]
    assert "samples was 48 and is 20" in fault(data={**data, "held_out_samples": 20})
    assert fault(data={**data, "held_out": "test"}) is None
    assert "data.made" in fault(data={**data, "held_out": "pretrain"})
    assert "made from" in fault(proxies={"segmentation": {"task": "segmentation", "colours": 10}})
    assert "made from" in fault(recipe={**STUDY["recipe"], "steps": 7})
    IMAGES.write_bytes(b"other")
    with pytest.raises(SgtError, match="changed since it was made"):
        fault()
    IMAGES.unlink()
    sgt("treatment", *WORDS)
    assert fault() is None
    # Other weights of the same run.
    run = Path("results/runs/micro/segmentation/seed0")
    (run / "run.json").unlink()
    assert "made from" in fault()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--arm", "sft"], "has no proxy that it could have learned"),
        (["--arm", "depth"], "run `sgt train config/micro.yaml --model micro --arm depth --seed 0`"),
    ],
)
def test_what_cannot_be_checked_is_refused_in_one_line(words, said, study, capsys):
    assert main(["treatment", "config/micro.yaml", "--model", "micro", *words, "--seed", "0"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert said in error


def test_a_run_that_was_not_checked_is_refused_where_it_is_read(study):
    command = "run `sgt treatment config/micro.yaml --model micro --arm segmentation --seed 0`"
    with pytest.raises(SgtError, match=re.escape(command)):
        read_treatment(*loaded_run())


def test_images_lie_between_floor_and_ceiling(study):
    """What is made here is the target itself, slightly changed, so that every bound is known."""
    loaded = load_study("config/micro.yaml")
    model, proxy = load_model(loaded.models["micro"], Path("base/micro")), loaded.proxy("reconstruction")
    items, transform = held_out_items(loaded, proxy, model), target_transform(loaded.models["micro"])
    rows = compare(proxy, model, items, [transform.resize(item.target) for item in items], transform)
    means = {
        kind: {measure: np.mean([row[measure] for row in rows[kind]]) for measure in (PSNR, SSIM)} for kind in KINDS
    }
    assert means["made"][PSNR] == pytest.approx(58.9, abs=0.1) and means["made"][SSIM] == pytest.approx(1)
    for measure in (PSNR, SSIM):
        assert means["floor"][measure] < means["made"][measure] > means["ceiling"][measure]


def test_samples_of_which_the_proxy_has_no_target_are_left_out(study, monkeypatch, caplog):
    loaded = load_study("config/micro.yaml")
    proxy, render = loaded.proxy("segmentation"), PROXIES["segmentation"].render
    model = load_model(loaded.models["micro"], Path("base/micro"))
    complete = held_out_items(loaded, proxy, model)

    def refusing(image, sample):
        if sample.key == complete[1].key:
            sample = replace(sample, files={**sample.files, "json": b"{}"})
        return render(image, sample)

    monkeypatch.setattr(proxy, "render", refusing)
    items = held_out_items(loaded, proxy, model)
    assert [item.key for item in items] == [item.key for item in complete if item.key != complete[1].key]
    assert [item.prompt for item in items] == [item.prompt for item in complete if item.key != complete[1].key]
    assert "left out:" in caplog.text
