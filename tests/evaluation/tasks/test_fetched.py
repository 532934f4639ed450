"""Every fetched benchmark, from small files in its real format through the commands to a score file."""

import csv
import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from sgt.evaluation.tasks import TASKS
from sgt.models.flow import sampling_times
from sgt.reporting.contents import table_files
from sgt.reporting.paper.figures import protocols_figure
from sgt.reporting.protocols import STATUSES
from sgt.reporting.scores import Scores
from sgt.study.load import load_study
from tests.conftest import sgt, write_study
from tests.evaluation.tasks.published import CONFIG, FETCHED_BENCHMARKS, install

RUN = ["config/micro.yaml", "--model", "micro", "--arm", "base", "--seed", "0"]


def study(name: str, prepared: Path, **changes) -> None:
    """A study of the base alone on one benchmark, in the working directory."""
    write_study(Path(), benchmarks=[name], arms=["base"], **changes)
    Path("base").symlink_to(prepared / "base")
    install(name, Path())


def scored(name: str) -> dict:
    """Predict and score; returns the score file."""
    sgt("train", *RUN)
    sgt("predict", *RUN, "--benchmark", name)
    sgt("score", *RUN, "--benchmark", name)
    return json.loads(Path(f"results/scores/micro/base/seed0/{name}.json").read_text())


@pytest.mark.parametrize("name", FETCHED_BENCHMARKS)
def test_it_is_predicted_and_scored(name, prepared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study(name, prepared)
    score = scored(name)
    assert score["counts"]["scored"] == score["counts"]["predicted"] > 0
    assert sum(score["statuses"].values()) == score["counts"]["scored"]
    assert score["metrics"] and score["other_protocols"].keys() <= set(TASKS[name].protocols)
    assert all(0 <= metric["value"] <= 1 for metric in score["metrics"].values())


def test_replies_are_read_under_every_protocol_and_a_study_may_take_a_few_samples(prepared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study("pope", prepared, limit=1)
    assert scored("pope")["counts"]["scored"] == 12, "the questions about one image"
    sgt("tables", "config/micro.yaml")
    with open("results/tables/protocols.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["protocol"] for row in rows] == ["paper", "lmms-eval"] and {row["n"] for row in rows} == {"12"}
    assert all(sum(float(row[status]) for status in STATUSES) == pytest.approx(1, abs=1e-5) for row in rows)


def test_a_few_samples_are_of_every_part_of_a_benchmark(prepared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study("cv-bench", prepared, limit=3)
    score = scored("cv-bench")
    assert sorted(score["items"]["source"]) == ["ADE20K", "COCO", "Omni3D"]
    assert score["metrics"]["accuracy"]["n"] == 3, "the mean of 2D and 3D needs all of them"


@pytest.mark.parametrize(
    ("name", "above"),
    [
        ("geneval", 0.0), ("geneval-short", 0.0), ("geneval-long", 0.0), ("dpg-bench", 0.0), ("imgedit-bench", 0.0),
        ("gedit-bench", 0.4), ("wise", 0.4), ("wise-verified", 0.4),
    ],
)  # fmt: skip
def test_images_are_sampled_at_the_50_times_of_bagels_scripts(name, above):
    sampling = yaml.safe_load((CONFIG / f"{name}.yaml").read_text())["sampling"]
    assert len(sampling_times(sampling["num_steps"], sampling["timestep_shift"])) == 50
    assert sampling["cfg_interval"] == [above, 1.0] and sampling["timestep_shift"] == 3.0


def test_a_study_whose_few_samples_leave_no_headline_has_its_files(prepared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study("cv-bench", prepared, limit=2)
    assert "accuracy" not in scored("cv-bench")["metrics"], "a source has no sample"
    sgt("tables", RUN[0])
    loaded = load_study(RUN[0])
    assert [name for name in table_files(loaded) if not Path("results/tables", name).exists()] == []
    assert pd.read_csv("results/tables/protocols.csv").empty
    protocols_figure(Scores(loaded))
