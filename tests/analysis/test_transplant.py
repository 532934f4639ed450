"""Transplants: bit by bit what they are made of, results with an identity, and shares of a gain that move."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from sgt.analysis.transplant import transplant
from sgt.commands.check import job_counts
from sgt.errors import SgtError
from sgt.identity import read_record
from sgt.models.registry import load_model
from sgt.reporting.analysis_grids import transplants_grid
from sgt.reporting.scores import Scores
from sgt.reporting.transplants import share_moved, transplants_of
from sgt.study.load import load_study
from sgt.study.results import Results
from tests.conftest import MICRO, sgt, write_study
from tests.reporting.conftest import published, study_with, write_scores  # noqa: F401 - a fixture

PARTS = ["understanding", "generation", "vision", "vocabulary"]
TRANSPLANTS = {
    "everything": {"into": "sft", "parts_from": "edge", "parts": PARTS},
    "eyes": {"into": "sft", "parts_from": "edge", "parts": ["vision"]},
}


def stored(folder: Path, names) -> dict:
    return {name: value for file in names for name, value in load_file(folder / file).items()}


@pytest.mark.parametrize("family", ["bagel", pytest.param("omnigen2", marks=pytest.mark.slow)])
def test_all_parts_are_the_donor_and_one_part_is_a_part_of_it(family, study_of):
    study_of(family)
    name = MICRO[family]["name"]
    write_study(Path(), models=[name], arms=["base", "sft", "edge"], transplants=TRANSPLANTS)
    study = load_study("config/micro.yaml")
    for arm in ("sft", "edge"):
        sgt("train", study.path, "--model", name, "--arm", arm, "--seed", 0)
    for each in TRANSPLANTS:
        sgt("transplant", study.path, "--model", name, "--arm", each, "--seed", 0)
    runs = {arm: study.run(name, arm, 0, transplants=True) for arm in ("sft", "edge", *TRANSPLANTS)}
    records = {arm: read_record(study.run_dir(run) / "run.json") for arm, run in runs.items()}
    assert records["everything"]["files"] == records["edge"]["files"] != records["sft"]["files"]
    assert records["everything"]["checkpoint_sha256"] == records["edge"]["checkpoint_sha256"]
    assert records["eyes"]["transplant"] == {
        "into": f"{name}/sft/seed0", "parts_from": f"{name}/edge/seed0", "parts": ["vision"],
    }  # fmt: skip
    into, donor = study.transplanted(runs["eyes"])
    models = {
        arm: load_model(study.models[name], study.run_dir(run) / "final")
        for arm, run in (("sft", into), ("edge", donor), ("eyes", runs["eyes"]))
    }
    moved = set()
    for parameter, value in models["eyes"].network.state_dict().items():
        part = models["eyes"].part(parameter)
        whose, other = ("edge", "sft") if part == "vision" else ("sft", "edge")
        assert value.equal(models[whose].network.state_dict()[parameter]), parameter
        if not value.equal(models[other].network.state_dict()[parameter]):
            moved.add(part)
    assert moved == set(PARTS), "training changed every part, so that a mix-up would be seen"
    # It is a result like others: current, evaluated, and out of date when one of the two runs is.
    results = Results(study)
    assert [results.run(run).fault() for run in runs.values()] == [None] * 4
    sgt("predict", study.path, "--model", name, "--arm", "eyes", "--seed", 0, "--benchmark", "toyworld-qa")
    sgt("score", study.path, "--model", name, "--arm", "eyes", "--seed", 0, "--benchmark", "toyworld-qa")
    assert Results(study).score(runs["eyes"], study.benchmark("toyworld-qa")).fault() is None
    swapped = {"eyes": {**TRANSPLANTS["eyes"], "parts": ["understanding"]}}
    write_study(Path(), models=[name], arms=["base", "sft", "edge"], transplants=swapped)
    fault = Results(load_study(study.path)).run(runs["eyes"]).fault()
    assert fault == 'parts.0 was "vision" and is "understanding"'


def test_what_cannot_be_transplanted_is_refused(study):
    def refused(message: str, **transplants: dict) -> None:
        with pytest.raises(SgtError, match=message):
            load_study(write_study(Path(), arms=["base", "sft"], transplants=transplants))

    eyes = {"into": "sft", "parts_from": "base", "parts": ["vision"]}
    refused("transplants: 'sft' is the name of an arm: rename it", sft=eyes)
    refused("transplants.eyes.parts_from: 'edge' is none of the study's arms", eyes={**eyes, "parts_from": "edge"})
    refused("transplants.eyes: both runs are of 'base': name two arms", eyes={**eyes, "into": "base"})
    refused("lists a part twice", eyes={**eyes, "parts": ["vision", "vision"]})
    loaded = load_study(write_study(Path(), arms=["base", "sft"], transplants={"eyes": eyes}, seeds=[3, 4]))
    assert [run.seed for run in loaded.transplanted(loaded.run("micro", "eyes", 4, transplants=True))] == [4, 3]
    counts = job_counts(loaded)
    assert counts["transplant"] == 2 and counts["score"] == 2 * (1 + 2 + 2)
    with pytest.raises(SgtError, match="no run micro/eyes/seed3"):
        loaded.run("micro", "eyes", 3)
    with pytest.raises(SgtError, match=r"run.json: it is not there; run `sgt train .* --arm sft --seed 3`"):
        sgt_raising("transplant", loaded, "eyes")
    with pytest.raises(SgtError, match=r"micro/sft/seed3: is no transplant; choose one \(eyes\)"):
        sgt_raising("transplant", loaded, "sft")


def sgt_raising(command: str, study, arm: str) -> None:
    transplant(study, study.run("micro", arm, 3, transplants=True), command)


def test_the_share_that_moves_is_a_ratio_with_an_interval():
    rng = np.random.default_rng(0)
    gain = rng.normal(0.3, 0.4, (1, 500))
    moved = 0.5 * gain + rng.normal(0, 0.1, (1, 500))
    keys = [str(index) for index in range(500)]
    share = share_moved(gain, moved, keys)
    assert share.value == pytest.approx(moved.mean() / gain.mean())
    drawn = rng.integers(500, size=(4000, 500))
    low, high = np.quantile(moved[0][drawn].mean(1) / gain[0][drawn].mean(1), [0.025, 0.975])
    assert (share.low, share.high) == pytest.approx((low, high), abs=0.005)
    all_of_it = share_moved(gain, gain, keys)
    assert (all_of_it.value, all_of_it.low, all_of_it.high) == pytest.approx((1, 1, 1))


def test_transplants_have_a_table(study_with):  # noqa: F811
    skill = {"base": 0.6, "sft": 0.6, "segmentation": 0.95}
    study_with(skill, seeds=2)
    eyes = {"into": "sft", "parts_from": "segmentation", "parts": ["vision"]}
    study = load_study(
        write_study(Path(), arms=list(skill), benchmarks=["qa"], seeds=[0, 1], transplants={"eyes": eyes})
    )
    for run in study.transplant_runs:
        half = {"count": 0.95, "left_right": 0.6, "parity": 0.6}
        write_scores(study.score_file(run, "qa"), run.arm, run.seed, half, shared=0.6)
    rows = transplants_of(Scores(study)).set_index("metric")
    count, parity = rows.loc["accuracy/count"], rows.loc["accuracy/parity"]
    assert count["gain"] > 0.25 and count["share"] == pytest.approx(1, abs=0.2)
    assert count["share_low"] < count["share"] < count["share_high"] and count["seeds"] == 2
    assert rows.loc["accuracy/left_right"]["share"] == pytest.approx(0, abs=0.3)
    # Nobody gained anything there, so nothing could move.
    assert np.isnan(parity["share"]) and not np.isnan(parity["moved_detectable"])
    ((title, cells),) = transplants_grid(Scores(study)).groups.items()
    assert title == "micro: vision of segmentation put into sft"
    assert {row[0][0].text for row in cells} == {"perception", "reasoning"}
    assert all("±" in cell[0].text or cell[0].text == "–" for row in cells for cell in row[1:])
    # Figures and report, which are about the arms, are made too; the report shows the study.
    assert "parts_from: segmentation" in published(study)
    assert Path("results/tables/transplants.csv").read_text().count("\n") == len(rows) + 1
