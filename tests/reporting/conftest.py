"""Studies with made-up scores and treatment checks."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from sgt.atomic import sha256
from sgt.evaluation.predictions import read_predictions, write_predictions
from sgt.evaluation.score import Scored, score_predictions
from sgt.evaluation.statistics import Estimate
from sgt.evaluation.task import Row
from sgt.evaluation.tasks.toyworld_qa import ToyworldQA
from sgt.evaluation.treatment import Fidelity, Treatment, write_treatment
from sgt.identity import write_record
from sgt.models.requests import Likelihood, RatedReply
from sgt.reporting.contents import FIGURE_FORMATS
from sgt.reporting.samples import Sheet
from sgt.study.identity import SCORE_SCHEMA as SCHEMA
from sgt.study.load import load_study
from tests.conftest import sgt, write_study

KINDS = ["count", "left_right", "parity"]
GROUPS = {"perception": ["count", "left_right"], "reasoning": ["parity"]}
IMAGES = 100


def write_scores(path: Path, arm: str, seed: int, skill: dict[str, float], shared: float = 0.0) -> None:
    """A score file of made-up answers that are right with a probability per kind.

    Args:
        shared: of the items, how many every arm and seed answers alike.
    """
    rng, alike = np.random.default_rng([*arm.encode(), seed]), np.random.default_rng(0)
    predictions = []
    for image in range(IMAGES):
        for kind in KINDS:
            drawn, same, luck = rng.random(), alike.random(), alike.random()
            answer = ("yes", "no")[image % 2]
            row = Row(
                f"{image}-{kind}",
                "is it so",
                "text",
                options=["yes", "no"],
                answer=answer,
                dimensions={"kind": kind},
                groups={"scene": str(image)},
            )
            right = (luck if same < shared else drawn) < skill[kind]
            rated = [Likelihood(-0.2 if right else -2.0, 1, -0.1)]
            predictions.append((row, RatedReply(answer if right else "", int(right), "stop", rated)))
    options = ToyworldQA.Options(name="qa", task="toyworld-qa", version=1, dataset="test", groups=GROUPS)
    write_score(path, score_predictions(ToyworldQA(options), predictions), f"micro/{arm}/seed{seed}")


def write_score(path: Path, scored: Scored, run: str) -> None:
    score = {
        "schema": SCHEMA,
        "run": {"id": run},
        "metrics": scored.metrics,
        "items": scored.items,
        "chance_definition": ToyworldQA.chance_definition,
        "hashes": {"data": "d"},
        "commands": ["sgt predict …", "sgt score …"],
        "options": {"task": "toyworld-qa"},
        "evaluator": {"name": "exact match"},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(score))


SCENES = 8


def write_answers(study, run, skill: float) -> None:
    """Predictions of made-up replies to real questions, right with a probability, and their scores."""
    benchmark = study.benchmark("qa")
    task, rng = ToyworldQA(benchmark), np.random.default_rng([*run.arm.encode(), run.seed])
    samples = task.open(study.rows_dirs(benchmark))
    rows = list(task.rows(samples[place] for place in range(len(samples))))
    replies = []
    for row in rows:
        right = rng.random() < skill
        text = row.answer if right else next(option for option in row.options if option != row.answer)
        replies.append(RatedReply(text, 1, "stop", [Likelihood(-0.2 if right else -2.0, 1, -0.1)]))
    path = study.prediction_dir(run, "qa") / "predictions.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_predictions(path, rows, replies)
    score_file = study.score_file(run, "qa")
    write_score(score_file, score_predictions(task, read_predictions(path)), run.id)
    score = json.loads(score_file.read_text())
    score["hashes"]["predictions"] = sha256(path)
    score_file.write_text(json.dumps(score))


@pytest.fixture
def answered(study_with):
    """A study whose made-up replies are to real questions about real scenes, so that what changed can be shown."""
    study = study_with({"base": 0.7, "sft": 0.6, "segmentation": 0.8, "edge": 0.4}, 1)
    sgt("toyworld", study.dataset_dir("test"), "--split", "test", "--scenes", SCENES, "--workers", 1)
    for run, skill in zip(study.runs, (0.7, 0.6, 0.8, 0.4), strict=True):
        write_answers(study, run, skill)
    return study


def write_check(path: Path, use: float, made: float = 0.6) -> None:
    """A made-up treatment check, whose intervals reach 0.05 to both sides."""

    def near(value: float) -> Estimate:
        return Estimate(value, value - 0.05, value + 0.05, 48)

    iou = Fidelity("matched IoU", "", True, (0.0, 1.0), near(made), near(0.2), near(0.9))
    error = Fidelity("AbsRel_%", "%", False, (0.0, None), near(30.0), near(50.0), near(5.0))
    checked = Treatment("segmentation", "validation", 48, 0.82, near(use), iou, (error,))
    write_treatment(path, checked, {"identity": {}, "command": "sgt treatment …"})


def write_benchmark(name: str, groups: dict = GROUPS) -> None:
    about = {"name": name, "task": "toyworld-qa", "version": 1, "dataset": "test", "groups": groups}
    Path(f"config/benchmarks/{name}.yaml").write_text(yaml.safe_dump(about))


ARMS = ["base", "sft", "segmentation", "edge", "reconstruction"]


@pytest.fixture
def study_with(tmp_path, monkeypatch):
    """Makes a study of arms and seeds whose made-up scores are right as often as a table of perception says.

    Proxy arms have a use of 0.8, or what ``use`` says; other fields are of the study.
    """
    monkeypatch.chdir(tmp_path)
    # Made-up scores follow from nothing; that real ones must is tested with the results (tests/study/test_results.py).
    monkeypatch.setattr("sgt.reporting.sources.require_current", lambda *results: None)
    # Vector files, which take most of the time, are made in the tests that are about them.
    monkeypatch.setattr("sgt.reporting.style.FIGURE_FORMATS", (".png",))
    # Their arms have drawn nothing; the sheet of what arms draw is tested in a whole study (test_reporting.py).
    monkeypatch.setattr(
        "sgt.reporting.figures.target_sheet", lambda study: Sheet([[{"input": Image.new("RGB", (8, 8))}]])
    )

    def make(perception: dict[str, float], seeds: int, benchmarks=("qa",), shared: float = 0.6, use=None, **fields):
        write_study(Path(), arms=list(perception), benchmarks=list(benchmarks), seeds=list(range(seeds)), **fields)
        for name in benchmarks:
            write_benchmark(name)
        study = load_study("config/micro.yaml")
        for run in study.runs:
            skill = {"count": perception[run.arm], "left_right": perception[run.arm], "parity": 0.6}
            for name in benchmarks:
                write_scores(study.score_file(run, name), run.arm, run.seed, skill, shared)
            if run.proxy:
                write_check(study.treatment_file(run), (use or {}).get(run.arm, 0.8))
        return study

    return make


@pytest.fixture
def vector_figures(study_with, monkeypatch):
    """Figures in every format, as they are outside of tests."""
    monkeypatch.setattr("sgt.reporting.style.FIGURE_FORMATS", FIGURE_FORMATS)


@pytest.fixture
def scored(study_with):
    """A study of five arms and three seeds with made-up scores: segmentation perceives better, and nothing else."""
    return study_with({arm: 0.95 if arm == "segmentation" else 0.75 for arm in ARMS}, seeds=3)


def published(study) -> str:
    """The report's text, once tables and figures are made; of runs that left a record and their losses."""
    for run in study.runs:
        folder = study.run_dir(run)
        folder.mkdir(parents=True, exist_ok=True)
        record = {"id": run.id, "steps": 6, "checkpoint_sha256": "c", "code": "r", "command": "sgt train …"}
        write_record(folder / "run.json", record)
        if run.arm != "base":
            (folder / "metrics.jsonl").write_text('{"step": 1, "ce": 1.0, "mse": 0.0}\n')
    for command in ("tables", "figures", "report"):
        sgt(command, study.path)
    return Path("results/report/index.html").read_text()
