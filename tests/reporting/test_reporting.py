"""From scores to tables, figures and the report: right numbers, evidence in every cell, nothing from outside."""

import csv
import html.parser
import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from sgt.cli import main
from sgt.evaluation.questions import score_questions
from sgt.evaluation.score import SCHEMA
from sgt.evaluation.statistics import paired_difference
from sgt.reporting.findings import findings
from sgt.reporting.scores import Scores
from sgt.reporting.stages import stage_times
from sgt.reporting.tables import tables_of, wide
from sgt.study.load import load_study
from tests.conftest import sgt, write_study

KINDS = ["count", "relation", "parity"]
GROUPS = {"perception": ["count", "relation"], "reasoning": ["parity"]}
IMAGES = 100


def write_scores(path: Path, arm: str, seed: int, skill: dict[str, float]) -> None:
    """A score file of made-up answers that are right with a probability per kind."""
    rng = np.random.default_rng([*arm.encode(), seed])
    lines = [
        {
            "id": f"{image}-{kind}", "key": str(image), "kind": kind, "question": "is it so", "options": ["yes", "no"],
            "answer": ("yes", "no")[image % 2],
            "prediction": ("yes", "no")[image % 2] if rng.random() < skill[kind] else "",
        }
        for image in range(IMAGES)
        for kind in KINDS
    ]  # fmt: skip
    metrics, items = score_questions(lines, GROUPS)
    score = {
        "schema": SCHEMA,
        "run": {"id": f"micro/{arm}/seed{seed}"},
        "metrics": metrics,
        "items": items,
        "hashes": {"data": "d"},
        "commands": ["sgt predict …", "sgt score …"],
        "protocol": {"kind": "questions"},
        "evaluator": {"name": "exact match"},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(score))


@pytest.fixture
def scored(tmp_path, monkeypatch):
    """A study of five arms and two seeds with made-up scores: segmentation perceives better, and nothing else."""
    monkeypatch.chdir(tmp_path)
    arms = ["base", "sft", "segmentation", "edge", "reconstruction"]
    write_study(Path(), arms=arms, benchmarks=["qa"], seeds=[0, 1])
    about = {"name": "qa", "version": 1, "dataset": "test", "groups": GROUPS, "protocol": {"kind": "questions"}}
    Path("config/benchmarks/qa.yaml").write_text(yaml.safe_dump(about))
    study = load_study("config/micro.yaml")
    for run in study.runs:
        better = 0.2 if run.arm == "segmentation" else 0.0
        skill = {"count": 0.75 + better, "relation": 0.75 + better, "parity": 0.6}
        write_scores(study.score_file(run, "qa"), run.arm, run.seed, skill)
    return study


def test_gains_are_paired_differences_over_the_mean_of_the_seeds(scored):
    cells = Scores(scored).cells.set_index(["arm", "metric"])
    items = {}
    for arm in ("sft", "segmentation"):
        files = [scored.score_file(run, "qa") for run in scored.runs if run.arm == arm]
        tables = [json.loads(file.read_text())["items"] for file in files]
        chosen = [index for index, kind in enumerate(tables[0]["kind"]) if kind != "parity"]
        items[arm] = np.mean([[table["accuracy"][index] for index in chosen] for table in tables], axis=0)
        keys = [tables[0]["key"][index] for index in chosen]
    cell = cells.loc[("segmentation", "accuracy/perception")]
    known = paired_difference(items["segmentation"], items["sft"], keys)
    assert (cell.gain, cell.gain_low, cell.gain_high) == (known.value, known.low, known.high)
    assert cell.value == items["segmentation"].mean() and cell.n == 2 * IMAGES and cell.seeds == 2
    assert cell.chance == 0.5 and cell.level == "high"
    assert cells.loc[("sft", "accuracy")][["gain", "gain_low"]].isna().all()
    assert cells.loc[("base", "accuracy")].seeds == 1


def test_findings_say_what_the_numbers_say(scored):
    found = {finding.claim: finding for finding in findings(Scores(scored))}
    assert found["micro: high-level proxies help perception more than low-level ones"].verdict == "supported"
    assert found["micro: segmentation helps perception more than reasoning"].verdict == "supported"
    base = found["micro: the base answers every kind of perception above chance"]
    assert base.verdict == "supported" and "relation 0." in base.numbers and "chance 0.500" in base.numbers
    for run in scored.runs:
        if run.arm == "segmentation":
            skill = dict.fromkeys(KINDS, 0.5) | {"parity": 0.9}
            write_scores(scored.score_file(run, "qa"), run.arm, run.seed, skill)
        if run.arm == "base":
            skill = {"count": 0.9, "relation": 0.5, "parity": 0.9}
            write_scores(scored.score_file(run, "qa"), run.arm, run.seed, skill)
    verdicts = [finding.verdict for finding in findings(Scores(scored))]
    assert verdicts == ["not for relation", "contradicted", "contradicted"]


def test_the_wide_table_has_chance_gains_and_bold_where_zero_is_out(scored):
    tables = tables_of(Scores(scored))
    frame = wide(tables["main"], "**{}**").set_index("arm")
    assert list(frame.columns) == ["model", "level", "perception", "reasoning"]
    assert list(frame.index) == ["chance", "base", "sft", "segmentation", "edge", "reconstruction"]
    assert frame.loc["chance", "perception"] == "0.500"
    pattern = r"0\.\d{3} \[0\.\d{3}, [01]\.\d{3}\]"
    assert re.fullmatch(pattern, frame.loc["sft", "perception"])
    assert re.fullmatch(pattern + r"<br>\*\*\+0\.\d{3} \[\+0.*\]\*\*", frame.loc["segmentation", "perception"])
    assert "**" not in frame.loc["edge", "perception"] and "<br>" in frame.loc["edge", "perception"]
    assert len(tables["kinds"]) == 5 * (1 + 2 + 3)


def test_scores_that_are_missing_or_of_other_data_are_refused_with_the_command(scored, capsys):
    def fails(*said: str) -> None:
        assert main(["tables", "config/micro.yaml"]) == 1
        (line,) = [line for line in capsys.readouterr().err.splitlines() if ": error: " in line]
        assert all(word in line for word in said), line
        assert not Path("results/tables").exists()

    path = Path("results/scores/micro/edge/seed1/qa.json")
    text = path.read_text()
    path.write_text(text.replace('"data": "d"', '"data": "e"'))
    fails(str(path), "scored on other data than micro/base/seed0")
    path.write_text("{")
    fails(str(path), "not valid JSON")
    path.write_text(json.dumps({"schema": 0}))
    fails(str(path), f"schema 0, this version reads {SCHEMA}")
    path.unlink()
    command = "sgt score config/micro.yaml --model micro --arm edge --seed 1 --benchmark qa"
    fails(str(path), f"no such score file; run `{command}`")


class Page(html.parser.HTMLParser):
    """Collects tags left open, and where links point."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.sources = [], []

    def handle_starttag(self, tag, attributes):
        self.sources += [value for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_a_study_from_its_runs_to_its_report(study):
    write_study(Path(), arms=["base", "sft", "segmentation", "inpainting"])
    loaded = load_study(study)
    for run in loaded.runs:
        words = [study, "--model", run.model, "--arm", run.arm, "--seed", run.seed]
        sgt("train", *words)
        for benchmark in loaded.benchmarks:
            sgt("predict", *words, "--benchmark", benchmark)
            sgt("score", *words, "--benchmark", benchmark)
        if run.proxy:
            sgt("demonstrate", *words)
    (Path("results/benchmarks/train")).mkdir(parents=True)
    Path("results/benchmarks/train/a.tsv").write_text("s\th:m:s\tmax_rss\n2.5\t0:00:02\t100.0\n")
    Path("results/benchmarks/train/b.tsv").write_text("s\th:m:s\tmax_rss\n4.0\t0:00:04\t-\n")
    sgt("preview", "results/shards/scenes/shard-00000.tar", "results/figures/proxies.png", "--count", "2")
    for command in ("tables", "figures", "report"):
        sgt(command, study)

    rows = list(csv.DictReader(Path("results/tables/kinds.csv").read_text().splitlines()))
    for row in rows:
        for file in row["scores"].split():
            metric = json.loads(Path(file).read_text())["metrics"][row["metric"]]
            assert float(row["value"]) == pytest.approx(metric["value"], abs=1e-6)
            assert (float(row["low"]), int(row["n"])) == (pytest.approx(metric["low"], abs=1e-6), metric["n"])
        assert row["command"].count("sgt ") == 2 and f"--arm {row['arm']}" in row["command"]
    assert {row["arm"] for row in rows} == {"base", "sft", "segmentation", "inpainting"}
    main_rows = list(csv.DictReader(Path("results/tables/main.csv").read_text().splitlines()))
    headlines = {"accuracy/perception", "accuracy/reasoning", "generation/score"}
    assert {row["metric"] for row in main_rows} == headlines
    latex = Path("results/tables/kinds.tex").read_text()
    assert latex.count(r"\\" + "\n") == 2 + 4 and r"\begin{tabular}" in latex

    figures = {path.stem: Image.open(path) for path in Path("results/figures").glob("*.png")}
    assert set(figures) == {"gains", "generation", "training", "samples", "scenes", "proxies"}
    # A column for the input, two for segmentation, three for inpainting; six rows.
    assert figures["samples"].size == (6 + 6 * 102, 26 + 6 * 102)
    assert figures["scenes"].size == (6 + 5 * 102, 26 + 6 * 102)
    text = Path("results/report/index.html").read_text()
    page = Page()
    page.feed(text)
    assert not page.open
    assert len(page.sources) == 6 and all(source.startswith("data:image/png;base64,") for source in page.sources)
    for run in loaded.runs:
        assert f"sgt train {study} --model micro --arm {run.arm} --seed 0" in text
    assert "high-level proxies help perception more than low-level ones" in text
    assert "different software" not in text
    path = loaded.score_file(loaded.runs[0], "toyworld-qa")
    score = json.loads(path.read_text())
    other = {"python": "3.11.99", "packages": "f" * 64, "elsewhere": "numpy 1.24.0"}
    path.write_text(json.dumps({**score, "environment": {**score["environment"], "predict": other}}))
    sgt("report", study)
    text = Path("results/report/index.html").read_text()
    assert "different software" in text
    assert re.search(
        r"<td>3\.11\.99</td><td><code>f{16}</code>, but from elsewhere numpy 1\.24\.0</td><td>1 prediction</td>", text
    )
    again = {
        path: path.read_bytes() for path in Path("results").glob("*/*.*") if path.parent.name in ("tables", "figures")
    }
    for command in ("tables", "figures"):
        sgt(command, study)
    assert all(path.read_bytes() == content for path, content in again.items())


def test_stage_times_add_up_by_stage(tmp_path):
    for name, seconds, memory in (("train/m/a", 5, "7.5"), ("train/m/b", 3, "-"), ("tables", 1, "2")):
        path = tmp_path / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0\t{memory}\n")
    rows = stage_times(tmp_path).to_dict("records")
    assert rows == [
        {"stage": "train", "jobs": 2, "seconds": 8, "longest": 5, "memory": 7.5},
        {"stage": "tables", "jobs": 1, "seconds": 1, "longest": 1, "memory": 2.0},
    ]
