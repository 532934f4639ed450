"""Every fetched benchmark through the workflow, for both families, from small data in its real format."""

import csv
import json
import shutil

import pytest
import yaml

from tests.conftest import MICRO, write_study
from tests.evaluation.tasks.published import FETCHED_BENCHMARKS, install
from tests.evaluation.tasks.test_geneval import install_small
from tests.workflow.test_workflow import planned, snakemake

pytestmark = pytest.mark.slow
MODELS = [MICRO["bagel"], MICRO["omnigen2"]]


def test_every_benchmark_is_predicted_scored_and_reported_for_both_families(prepared_for, tmp_path):
    names = [model["name"] for model in MODELS]
    write_study(tmp_path, models=names, arms=["base"], benchmarks=FETCHED_BENCHMARKS)
    for model in MODELS:
        shutil.copytree(prepared_for(model["family"]) / "base" / model["name"], tmp_path / "base" / model["name"])
    for benchmark in FETCHED_BENCHMARKS:
        install(benchmark, tmp_path)
    snakemake(tmp_path)
    for name in names:
        for benchmark in FETCHED_BENCHMARKS:
            score = json.loads((tmp_path / f"results/scores/{name}/base/seed0/{benchmark}.json").read_text())
            assert score["counts"]["scored"] == score["counts"]["predicted"] > 0
    with open(tmp_path / "results/tables/protocols.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["model"], row["benchmark"]) for row in rows} == {(m, b) for m in names for b in FETCHED_BENCHMARKS}
    assert (tmp_path / "results/report/index.html").exists()
    assert "Nothing to be done" in snakemake(tmp_path)


def test_two_jobs_share_a_prediction(prepared, tmp_path):
    write_study(tmp_path, arms=["base"], benchmarks=["mmvp"])
    shutil.copytree(prepared / "base", tmp_path / "base")
    model = {**MICRO["bagel"], "predict": {"shards": 2}}
    (tmp_path / "config/models/micro.yaml").write_text(yaml.safe_dump(model))
    install("mmvp", tmp_path)
    assert planned(tmp_path)["predict_shard"] == 2
    folder = tmp_path / "results/predictions/micro/base/seed0/mmvp"
    snakemake(tmp_path, "--", str(folder.relative_to(tmp_path) / "meta.json"))
    assert {path.name for path in folder.iterdir()} == {"meta.json", "predictions.jsonl"}
    for number in (1, 2):
        log = tmp_path / f"results/logs/predict/micro/base/seed0/mmvp-{number}-of-2.log"
        assert f"--shard {number}/2" in log.read_text()


def test_images_are_judged_between_prediction_and_score(prepared, tmp_path):
    write_study(tmp_path, arms=["base"], benchmarks=["geneval"])
    shutil.copytree(prepared / "base", tmp_path / "base")
    install_small(tmp_path)
    target = "results/scores/micro/base/seed0/geneval.json"
    snakemake(tmp_path, "--", target)
    score = json.loads((tmp_path / target).read_text())
    assert "0 of 6 photographs" in score["not_scored"] and score["metrics"] == {}
    assert "Nothing to be done" in snakemake(tmp_path, "--", target)
