"""Training on the first samples of a dataset, and on as many questions as take a proxy arm's compute."""

import json
from pathlib import Path

import pytest

from sgt.commands.check import describe, job_counts
from sgt.commands.main import main
from sgt.data.dataset import open_dataset
from sgt.errors import SgtError
from sgt.study.identity import run_identity
from sgt.study.load import load_study
from sgt.training.sources import training_data, validation_sources
from tests.conftest import STUDY, sgt, write_study
from tests.training.test_screening import GOOD, picture, talk, write

RECIPE = {**STUDY["recipe"], "batch": 12}


def study_of(limit: int | None = None, images: int | None = None, **changes):
    data = {"proxy": {"dataset": "scenes", "limit": images}, "vqa": {"dataset": "questions", "limit": limit}}
    changes = {"arms": ["base", "sft", "sft-compute", "edge"], "recipe": RECIPE, "data": data, **changes}
    return load_study(write_study(Path(), **changes))


def drawn(study, arm: str, kind: str, steps: int) -> list[list[str]]:
    """Keys of the samples of one kind in each of the first steps of a run."""
    data = training_data(study, study.run("micro", arm, 0), study.recipe("micro"))
    source = data.sources[kind]
    draws = [[draw for draw in data.mixture.step(step) if draw.source == kind] for step in range(steps)]
    return [[source.key(draw).rpartition(": ")[2] for draw in step] for step in draws]


def used(study, arm: str, kind: str) -> set[str]:
    return {key for step in drawn(study, arm, kind, 20) for key in step}


def test_a_smaller_subset_is_the_beginning_of_a_larger_one(study):
    keys = {name: open_dataset(Path("results/shards") / name).keys for name in ("questions", "scenes")}
    for limit in (5, 9, 24, None):
        loaded = study_of(limit, images=limit)
        for arm, kind, name in (("sft", "vqa", "questions"), ("edge", "vqa", "questions"), ("edge", "proxy", "scenes")):
            assert used(loaded, arm, kind) == set(keys[name][:limit])
    every = [key for step in drawn(study_of(5), "sft", "vqa", 10) for key in step]
    assert all(set(every[epoch : epoch + 5]) == set(keys["questions"][:5]) for epoch in range(0, 40, 5))
    held_out = {**STUDY["data"], "validation": {"dataset": "test", "limit": 3}}
    loaded = study_of(data=held_out)
    sources = validation_sources(loaded, loaded.run("micro", "edge", 0), loaded.recipe("micro"))
    assert {kind: source.size for kind, source in sources.items()} == {"vqa": 3, "proxy": 3}


def test_a_limit_decides_the_runs_that_it_limits_and_no_data(study):
    sgt("screen", study, "questions")
    sgt("screen", study, "scenes")

    def identities(**limits) -> dict:
        loaded = study_of(**limits)
        return {run.arm: run_identity(loaded, run) for run in loaded.runs}

    every, few = identities(), identities(limit=5)
    assert [arm for arm in every if every[arm] == few[arm]] == ["base"]
    assert few["sft"]["questions"] == {**every["sft"]["questions"], "limit": 5}
    images = identities(images=5)
    assert [arm for arm in every if every[arm] != images[arm]] == ["edge"]
    # Five images lie in the first of two shards.
    assert images["edge"]["targets"] == every["edge"]["targets"][:1]
    assert (job_counts(study_of())["render"], job_counts(study_of(images=5))["render"]) == (2, 1)
    assert "data.vqa: the first 5 samples of questions" in describe(study_of(5))
    variants = {"edge-few": {"proxy": "edge", "images": {"dataset": "scenes", "limit": 5}}}
    both = study_of(arms=["sft", "edge-few", "edge"], variants=variants, data=STUDY["data"])
    assert job_counts(both)["render"] == 2 and len(both.target_shards("edge-few")) == 1


def test_a_limit_counts_samples_before_the_unusable_are_left_out(study, capsys):
    write({f"q-{number}": {**GOOD, "jpg": picture()[:-40]} if number == 1 else GOOD for number in range(8)})
    data = {**STUDY["data"], "max_bad": 0.5}
    loaded = study_of(data={**data, "vqa": {"dataset": "questions", "limit": 4}})
    assert used(loaded, "sft", "vqa") == {"q-0", "q-2", "q-3"}
    write({f"q-{number}": {**GOOD, "json": talk(7)} if number < 2 else GOOD for number in range(8)})
    study_of(data={**data, "vqa": {"dataset": "questions", "limit": 2}})
    assert main(["train", str(study), "--model", "micro", "--arm", "sft", "--seed", "0"]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if ": error: " in line]
    assert "results/shards/questions: no model can take any of the samples" in line


def test_a_dataset_with_fewer_samples_than_the_limit_is_refused(study):
    with pytest.raises(SgtError, match=r"results/shards/scenes: limit 30 is above its 24 samples; lower it"):
        open_dataset(Path("results/shards/scenes")).first(30)


@pytest.mark.parametrize("order", ["mixed", "sequential"])
def test_more_questions_are_those_of_sft_and_the_next_ones(order, study):
    loaded = study_of(recipe={**RECIPE, "order": order, "sft_compute_batch": 10})
    few, more = ([key for step in drawn(loaded, arm, "vqa", 2) for key in step] for arm in ("sft", "sft-compute"))
    assert more[: len(few)] == few
    steps = {
        arm: training_data(loaded, loaded.run("micro", arm, 0), loaded.recipe("micro")).steps
        for arm in ("sft", "sft-compute")
    }
    per_step = len(more) // 2
    assert (per_step * steps["sft-compute"]) == 6 * 10 and len(few) // 2 * steps["sft"] == 6 * 4


def test_the_number_of_questions_decides_the_run_and_no_other(study):
    sgt("screen", study, "questions")
    sgt("screen", study, "scenes")

    def identities(**recipe) -> dict:
        loaded = study_of(recipe={**RECIPE, **recipe})
        return {run.arm: run_identity(loaded, run) for run in loaded.runs}

    own, fixed = identities(), identities(sft_compute_batch=10)
    assert fixed["sft-compute"]["batch"] == 10 != own["sft-compute"]["batch"]
    assert [arm for arm in own if own[arm] != fixed[arm]] == ["sft-compute"]
    assert own["sft-compute"]["batch"] == study_of().sft_compute_batches["micro"] > 4


def test_the_second_control_is_trained(study):
    study_of(recipe={**RECIPE, "sft_compute_batch": 10}, limit=5)
    sgt("train", study, "--model", "micro", "--arm", "sft-compute", "--seed", 0)
    record = json.loads(Path("results/runs/micro/sft-compute/seed0/run.json").read_text())
    assert record["identity"]["batch"] == 10 and record["identity"]["questions"]["limit"] == 5
    lines = Path("results/runs/micro/sft-compute/seed0/metrics.jsonl").read_text().splitlines()
    metrics = [json.loads(line) for line in lines]
    assert len(metrics) == 6 and all(line["ce"] > 0 and line["mse"] == 0 for line in metrics)
