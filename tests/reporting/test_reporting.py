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
from sgt.reporting.findings import findings, headline
from sgt.reporting.scores import Scores
from sgt.reporting.stages import stage_times
from sgt.reporting.tables import tables_of, wide
from sgt.study.load import load_study
from tests.conftest import sgt, write_study

KINDS = ["count", "relation", "parity"]
GROUPS = {"perception": ["count", "relation"], "reasoning": ["parity"]}
IMAGES = 100


def write_scores(path: Path, arm: str, seed: int, skill: dict[str, float], shared: float = 0.0) -> None:
    """A score file of made-up answers that are right with a probability per kind.

    Args:
        shared: of the items, how many every arm and seed answers alike.
    """
    rng, alike = np.random.default_rng([*arm.encode(), seed]), np.random.default_rng(0)
    lines = []
    for image in range(IMAGES):
        for kind in KINDS:
            drawn, same, luck = rng.random(), alike.random(), alike.random()
            answer = ("yes", "no")[image % 2]
            lines.append(
                {
                    "id": f"{image}-{kind}", "key": str(image), "kind": kind, "question": "is it so",
                    "options": ["yes", "no"], "answer": answer,
                    "prediction": answer if (luck if same < shared else drawn) < skill[kind] else "",
                }
            )  # fmt: skip
    metrics, items = score_questions(lines, GROUPS)
    write_score(path, metrics, items, f"micro/{arm}/seed{seed}")


def write_score(path: Path, metrics: dict, items: dict, run: str) -> None:
    score = {
        "schema": SCHEMA,
        "run": {"id": run},
        "metrics": metrics,
        "items": items,
        "hashes": {"data": "d"},
        "commands": ["sgt predict …", "sgt score …"],
        "protocol": {"kind": "questions"},
        "evaluator": {"name": "exact match"},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(score))


def write_benchmark(name: str, groups: dict = GROUPS) -> None:
    about = {"name": name, "version": 1, "dataset": "test", "groups": groups, "protocol": {"kind": "questions"}}
    Path(f"config/benchmarks/{name}.yaml").write_text(yaml.safe_dump(about))


ARMS = ["base", "sft", "segmentation", "edge", "reconstruction"]
LEVELS = "micro: high-level proxies help perception more than low-level ones"


@pytest.fixture
def study_with(tmp_path, monkeypatch):
    """Makes a study of arms and seeds whose made-up scores are right as often as a table of perception says."""
    monkeypatch.chdir(tmp_path)

    def make(perception: dict[str, float], seeds: int, benchmarks=("qa",), shared: float = 0.6):
        write_study(Path(), arms=list(perception), benchmarks=list(benchmarks), seeds=list(range(seeds)))
        for name in benchmarks:
            write_benchmark(name)
        study = load_study("config/micro.yaml")
        for run in study.runs:
            skill = {"count": perception[run.arm], "relation": perception[run.arm], "parity": 0.6}
            for name in benchmarks:
                write_scores(study.score_file(run, name), run.arm, run.seed, skill, shared)
        return study

    return make


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
        (folder / "run.json").write_text(json.dumps(record))
        if run.arm != "base":
            (folder / "metrics.jsonl").write_text('{"step": 1, "ce": 1.0, "mse": 0.0}\n')
    for command in ("tables", "figures", "report"):
        sgt(command, study.path)
    return Path("results/report/index.html").read_text()


def found_in(study) -> dict:
    return {finding.claim: finding for finding in findings(Scores(study))}


def test_gains_are_paired_differences_over_seeds_and_items(scored):
    cells = Scores(scored).cells.set_index(["arm", "metric"])
    items = {}
    for arm in ("sft", "segmentation"):
        files = [scored.score_file(run, "qa") for run in scored.runs if run.arm == arm]
        tables = [json.loads(file.read_text())["items"] for file in files]
        chosen = [index for index, kind in enumerate(tables[0]["kind"]) if kind != "parity"]
        items[arm] = np.array([[table["accuracy"][index] for index in chosen] for table in tables])
        keys = [tables[0]["key"][index] for index in chosen]
    cell = cells.loc[("segmentation", "accuracy/perception")]
    known = paired_difference(items["segmentation"], items["sft"], keys)
    assert (cell.gain, cell.gain_low, cell.gain_high) == (known.value, known.low, known.high)
    assert cell.value == items["segmentation"].mean() and cell.n == 2 * IMAGES and cell.seeds == 3
    assert cell.chance == 0.5 and cell.level == "high"
    assert cells.loc[("sft", "accuracy")][["gain", "gain_low"]].isna().all()
    assert cells.loc[("base", "accuracy")].seeds == 1


def test_several_seeds_support_what_one_has_only_seen(study_with):
    skill = {arm: 0.9 if arm == "segmentation" else 0.6 for arm in ARMS}
    for seeds, verdict in ((1, "seen with one seed"), (3, "supported")):
        found = found_in(study_with(skill, seeds))
        assert found[LEVELS].verdict == verdict
        assert "above the control: segmentation; not seen to differ from the control: edge" in found[LEVELS].found
        assert found["micro: segmentation helps perception more than reasoning"].verdict == verdict
        (reasoning,) = [each for claim, each in found.items() if "reasoning on average" in claim]
        assert reasoning.verdict == "not seen" and "(detectable: 0." in reasoning.numbers


def test_seeds_that_disagree_support_nothing(study_with):
    study = study_with({arm: 0.9 if arm == "segmentation" else 0.6 for arm in ARMS}, seeds=3)
    for run in study.runs:
        if run.arm == "segmentation":
            skill = {kind: (0.95, 0.8, 0.45)[run.seed] for kind in KINDS}
            write_scores(study.score_file(run, "qa"), run.arm, run.seed, skill, 0.6)
    # The mean over seeds alone would be far above the control.
    assert found_in(study)[LEVELS].verdict == "not seen"


@pytest.mark.parametrize(("seeds", "verdict"), [(1, "opposite seen with one seed"), (3, "contradicted")])
def test_less_harm_is_not_help(seeds, verdict, study_with):
    study = study_with({"base": 0.9, "sft": 0.8, "segmentation": 0.6, "edge": 0.4, "reconstruction": 0.2}, seeds)
    found = found_in(study)
    assert found[LEVELS].verdict == verdict
    assert found[LEVELS].found == "every proxy is below the control; segmentation least; high level above low level"
    assert found["micro: the proxies help perception on average"].verdict == verdict
    text = published(study)
    assert f">{verdict}<" in text and "every proxy is below the control; segmentation least" in text
    assert seeds > 1 or "supported" not in text


@pytest.mark.parametrize(
    ("base", "sft", "claim"),
    [
        (0.9, 0.6, "micro: base beats the control sft in perception"),
        (0.6, 0.9, "micro: the control sft beats base in perception"),
    ],
)
def test_what_the_control_did_to_the_base_is_told_first(base, sft, claim, study_with):
    for seeds, verdict in ((1, "seen with one seed"), (3, "supported")):
        study = study_with({"base": base, "sft": sft, "segmentation": sft, "edge": sft}, seeds)
        found = findings(Scores(study))
        assert (found[0].claim, found[0].verdict) == (claim, verdict)
        assert headline(found)[0].startswith(f"{claim}: {verdict}")


def test_what_is_not_there_is_not_tested(study_with):
    skill = dict.fromkeys(ARMS, 0.7)
    for arms, said in (
        (["base"], {"base and the control sft differ": "no arm sft", "proxies help": "no arm is trained on a proxy"}),
        (["sft"], {"base and the control sft differ": "no arm base", "proxies help": "no arm is trained on a proxy"}),
        (["base", "sft"], {"proxies help": "no arm is trained on a proxy"}),
        (["sft", "edge"], {"high-level proxies help more than low-level ones": "of high level"}),
        (["sft", "depth"], {"high-level proxies help more than low-level ones": "of high or low level"}),
    ):
        found = found_in(study_with({arm: skill.get(arm, 0.7) for arm in arms}, 1))
        for claim, reason in said.items():
            assert found[claim].verdict == "not tested" and reason in found[claim].found
        assert LEVELS not in found
        assert len(arms) == 1 or found[next(iter(found))].verdict != "not tested"
    single = found_in(study_with({"sft": 0.5, "edge": 0.9}, 1))["micro: edge helps perception"]
    assert (single.verdict, single.found) == ("seen with one seed", "edge is above the control")


@pytest.mark.parametrize(
    ("arms", "seeds", "figures"),
    [
        (["base"], 1, set()),
        (["sft"], 1, {"training"}),
        (["base", "sft"], 1, {"gains", "training"}),
        (["base", "sft"], 2, {"gains", "training"}),
        (["sft", "depth"], 1, {"gains", "training"}),
        (["base", "sft", "segmentation", "depth", "edge", "reconstruction", "inpainting"], 2, {"gains", "training"}),
    ],
)
@pytest.mark.filterwarnings("error")
def test_any_valid_study_has_tables_figures_and_a_report(arms, seeds, figures, study_with, caplog):
    study = study_with(dict.fromkeys(arms, 0.7), seeds)
    Path("results/figures").mkdir(parents=True)
    # Of an earlier study in the same folder: this one has no such figure.
    Path("results/figures/samples.png").write_bytes(b"old")
    caplog.set_level("INFO", "sgt")
    text = published(study)
    assert {path.stem for path in Path("results/figures").glob("*.png")} - {"samples"} == figures
    assert set(re.findall(r'<img alt="(\w+)"', text)) == figures
    assert ("Gains are differences" in text) == ("sft" in arms)
    assert caplog.messages[-1] == "report: results/report/index.html"
    assert headline(findings(Scores(study)))[0] == caplog.messages[-2 if len(arms) < 3 else -3]


def test_a_missing_figure_is_named(study_with, capsys):
    study = study_with({"base": 0.7, "sft": 0.7}, 1)
    published(study)
    Path("results/figures/gains.png").unlink()
    assert main(["report", "config/micro.yaml"]) == 1
    told = "results/figures/gains.png: no such figure; run `sgt figures config/micro.yaml`"
    assert told in capsys.readouterr().err


def test_a_benchmark_of_one_image_has_values_without_intervals(study_with, monkeypatch):
    monkeypatch.setattr("tests.reporting.test_reporting.IMAGES", 1)
    study = study_with(dict.fromkeys(ARMS, 0.7), 2)
    text = published(study)
    assert "all items are of one image, so there is no interval" in text and "nan" not in text


def test_a_missing_value_is_not_tested_and_shown_as_missing(study_with):
    study = study_with(dict.fromkeys(ARMS, 0.7), 1, shared=0.98)
    (run,) = [run for run in study.runs if run.arm == "edge"]
    path = study.score_file(run, "qa")
    score = json.loads(path.read_text())
    score["items"]["accuracy"][score["items"]["kind"].index("count")] = None
    path.write_text(json.dumps(score))
    found = found_in(study)
    assert (found[LEVELS].verdict, found[LEVELS].found) == ("not tested", "a run has no value of perception")
    assert found["micro: base and the control sft differ in perception"].verdict == "not seen"
    sgt("tables", study.path)
    sgt("figures", study.path)
    text = Path("results/tables/main.md").read_text()
    assert [line.split("|")[2].strip() for line in text.splitlines() if "–" in line] == ["edge"] and "nan" not in text
    assert json.loads(Path("results/tables/metrics.json").read_text())["micro"]["edge"]["qa perception"] is None


def test_two_benchmarks_of_one_metric_have_a_column_each(study_with):
    study = study_with({"base": 0.8, "sft": 0.6}, 1, benchmarks=["qa", "other"])
    run = study.runs[0]
    write_scores(study.score_file(run, "other"), run.arm, run.seed, dict.fromkeys(KINDS, 0.1))
    sgt("tables", study.path)
    scores = Scores(study)
    for name, cells in tables_of(scores).items():
        frame = wide(scores, cells, "{}").set_index("arm")
        assert len(set(frame.columns)) == len(frame.columns) == 2 + (4 if name == "main" else 12)
        one, other = (float(frame.loc["base", f"{each} perception"][:5]) for each in ("qa", "other"))
        assert one > 0.7 and other < 0.3
    assert sum("perception" in finding.claim and finding.about == "control" for finding in findings(scores)) == 2


def test_findings_say_what_the_numbers_say(scored):
    for run in scored.runs:
        if run.arm == "base":
            skill = {"count": 0.9, "relation": 0.5, "parity": 0.9}
            write_scores(scored.score_file(run, "qa"), run.arm, run.seed, skill)
    (base,) = [finding for finding in findings(Scores(scored)) if finding.about == "base"]
    assert (base.verdict, base.found) == ("not seen", "not above chance: relation")
    assert "relation 0." in base.numbers and "chance 0.500, detectable: 0." in base.numbers


def test_the_wide_table_has_chance_gains_and_bold_where_zero_is_out(scored):
    scores = Scores(scored)
    tables = tables_of(scores)
    frame = wide(scores, tables["main"], "**{}**").set_index("arm")
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
    other = {"python": "3.11.99", "packages": "f" * 64}
    path.write_text(json.dumps({**score, "environment": {**score["environment"], "predict": other}}))
    sgt("report", study)
    text = Path("results/report/index.html").read_text()
    assert "different software" in text
    assert re.search(r"<td>3\.11\.99</td><td><code>f{16}</code></td><td>1 prediction</td>", text)
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
