"""Every fetched benchmark through the workflow, for both families, from small data in its real format."""

import csv
import json
import shutil

import pytest
import yaml

from tests.conftest import MICRO, write_study
from tests.evaluation.tasks.published import FETCHED_BENCHMARKS, install
from tests.workflow.test_workflow import snakemake

pytestmark = pytest.mark.slow
MODELS = [MICRO["bagel"], MICRO["omnigen2"]]


def test_every_benchmark_is_predicted_scored_and_reported_for_both_families(prepared_for, tmp_path):
    names = [model["name"] for model in MODELS]
    write_study(tmp_path, models=names, arms=["base"], benchmarks=FETCHED_BENCHMARKS)
    for model in MODELS:
        shutil.copytree(prepared_for(model["family"]) / "base" / model["name"], tmp_path / "base" / model["name"])
    # Two jobs share each prediction of the first.
    shared = {**MODELS[0], "predict": {"shards": 2}}
    (tmp_path / f"config/models/{names[0]}.yaml").write_text(yaml.safe_dump(shared))
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
