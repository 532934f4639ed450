"""Analyses are jobs of the workflow: made for a run, once, and made again when what decides them changes."""

import shutil

import pytest

from sgt.identity import read_record
from tests.conftest import write_study
from tests.workflow.test_workflow import planned, snakemake

pytestmark = pytest.mark.slow
PROBES = "results/analyses/micro/base/seed0/probe.json"


@pytest.fixture(scope="module")
def analysed(prepared, tmp_path_factory):
    """A study whose base model the workflow has probed."""
    folder = tmp_path_factory.mktemp("analysed")
    write_study(folder, arms=["base"], analyses=[{"analysis": "probe", "dataset": "test"}])
    shutil.copytree(prepared / "base", folder / "base")
    assert planned(folder)["analyse"] == 1
    snakemake(folder, "--", PROBES)
    return folder


def test_the_workflow_probes_a_run_with_a_log_and_a_time(analysed):
    record = read_record(analysed / PROBES)
    command = "sgt probe config/micro.yaml --model micro --arm base --seed 0 --analysis probe"
    assert record["command"] == command and record["identity"]["options"]["analysis"] == "probe"
    assert command in (analysed / "results/logs/analyse/micro/base/seed0/probe.log").read_text()
    assert (analysed / "results/benchmarks/analyse/micro/base/seed0/probe.tsv").read_text().startswith("s\t")
    targets = record["findings"]["targets"]
    assert {"class", "colour", "size", "column", "row", "depth", "count"} <= targets.keys()
    for found in targets.values():
        assert list(found["layers"]) == ["vision.0", "connector", "decoder.0", "decoder.1"]
        items = len(found["image"].split())
        for layer in found["layers"].values():
            assert len(layer["scores"].split()) == len(layer["control"].split()) == items > 0


def test_an_analysis_is_made_again_if_its_options_change_and_not_otherwise(analysed):
    assert "analyse" not in planned(analysed)
    study = analysed / "config/micro.yaml"
    before = study.read_text()
    study.write_text(before.replace("analysis: probe", "analysis: probe\n  shuffles: 2"))
    assert study.read_text() != before
    jobs = planned(analysed)
    study.write_text(before)
    assert jobs["analyse"] == 1 and "base_run" not in jobs
