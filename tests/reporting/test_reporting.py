"""From scores to tables, figures and the report: right numbers, evidence in every cell, nothing from outside."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sgt.commands.main import main
from sgt.errors import SgtError
from sgt.evaluation.score import score_predictions
from sgt.evaluation.statistics import paired_difference
from sgt.evaluation.task import Row
from sgt.evaluation.tasks.toyworld_gen import ToyworldGen
from sgt.evaluation.tasks.toyworld_qa import ToyworldQA
from sgt.identity import SEAL, write_record
from sgt.models.requests import Likelihood, RatedReply
from sgt.reporting.contents import table_files
from sgt.reporting.findings import findings, headline
from sgt.reporting.scores import Scores
from sgt.reporting.stages import stage_times
from sgt.reporting.tables import pivot, tables_of
from sgt.study.identity import SCORE_SCHEMA as SCHEMA
from sgt.study.load import load_study
from sgt.study.results import SOURCES
from tests.conftest import sgt, write_study
from tests.reporting.conftest import ARMS, GROUPS, IMAGES, KINDS, published, write_score, write_scores
from tests.reporting.page import Page


def test_gains_are_paired_differences_over_seeds_and_items(scored):
    cells = Scores(scored).cells.set_index(["arm", "metric"])
    items = {}
    for arm in ("sft", "segmentation"):
        files = [scored.score_file(run, "qa") for run in scored.runs if run.arm == arm]
        tables = [json.loads(file.read_text())["items"] for file in files]
        chosen = [index for index, kind in enumerate(tables[0]["kind"]) if kind != "parity"]
        items[arm] = np.array([[table["accuracy"][index] for index in chosen] for table in tables])
        scenes = [tables[0]["scene"][index] for index in chosen]
    cell = cells.loc[("segmentation", "accuracy/perception")]
    known = paired_difference(items["segmentation"], items["sft"], scenes)
    assert (cell.gain, cell.gain_low, cell.gain_high) == (known.value, known.low, known.high)
    assert cell.value == items["segmentation"].mean() and cell.n == 2 * IMAGES and cell.seeds == 3
    assert cell.chance == 0.5 and cell.level == "high"
    assert cells.loc[("sft", "accuracy")][["gain", "gain_low"]].isna().all()
    assert cells.loc[("base", "accuracy")].seeds == 1


@pytest.mark.parametrize(
    ("arms", "seeds", "figures"),
    [
        (["base"], 1, set()),
        (["sft"], 1, {"training"}),
        (["base", "sft"], 1, {"gains", "outcomes", "training"}),
        (["base", "sft"], 2, {"gains", "outcomes", "training"}),
        (["sft", "depth"], 1, {"treatment", "samples", "gains", "dimensions", "outcomes", "training"}),
        (
            [*ARMS, "depth", "inpainting"],
            2,
            {"treatment", "samples", "gains", "dimensions", "outcomes", "training"},
        ),
    ],
)
@pytest.mark.filterwarnings("error")
def test_any_valid_study_has_tables_figures_and_a_report(arms, seeds, figures, study_with, caplog):
    study = study_with(dict.fromkeys(arms, 0.7), seeds)
    Path("results/figures").mkdir(parents=True)
    # Of an earlier study in the same folder: this one has no such figure.
    Path("results/figures/scenes.png").write_bytes(b"old")
    caplog.set_level("INFO", "sgt")
    text = published(study)
    assert {path.stem for path in Path("results/figures").glob("*.png")} - {"scenes"} == figures
    assert set(re.findall(r'id="figure-(\w+)"', text)) - {"key"} == figures
    assert {path.name for path in Path("results/tables").iterdir()} == {*table_files(study), SOURCES}
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
    monkeypatch.setattr("tests.reporting.conftest.IMAGES", 1)
    study = study_with(dict.fromkeys(ARMS, 0.7), 2)
    text = published(study)
    assert "all items are of one cluster, so there is no interval" in text and "nan" not in re.sub(
        r"base64,[^\"]+", "", text
    )


def test_two_benchmarks_of_one_metric_have_a_column_each(study_with):
    study = study_with({"base": 0.8, "sft": 0.6}, 1, benchmarks=["qa", "other"])
    run = study.runs[0]
    write_scores(study.score_file(run, "other"), run.arm, run.seed, dict.fromkeys(KINDS, 0.1))
    sgt("tables", study.path)
    scores = Scores(study)
    for name, cells in tables_of(scores).items():
        frame = pivot(scores, cells, "{}").set_index("arm")
        assert len(set(frame.columns)) == len(frame.columns) == 2 + (4 if name == "main" else 24)
        one, other = (float(frame.loc["base", f"{each} perception"][:5]) for each in ("qa", "other"))
        assert one > 0.7 and other < 0.3
    assert sum("perception" in finding.claim and finding.about == "control" for finding in findings(scores)) == 2


def test_the_wide_table_has_chance_gains_and_bold_where_zero_is_out(scored):
    scores = Scores(scored)
    tables = tables_of(scores)
    frame = pivot(scores, tables["main"], "**{}**").set_index("arm")
    columns = ["model", "level", "use", "fidelity", "administered", "perception", "reasoning"]
    assert list(frame.columns) == columns
    assert list(frame.index) == ["chance", "base", "sft", "segmentation", "edge", "reconstruction"]
    assert frame.loc["chance", "perception"] == "0.500"
    pattern = r"0\.\d{3} \[0\.\d{3}, [01]\.\d{3}\]"
    assert re.fullmatch(pattern, frame.loc["sft", "perception"])
    assert re.fullmatch(pattern + r"<br>\*\*\+0\.\d{3} \[\+0.*\]\*\*", frame.loc["segmentation", "perception"])
    assert "**" not in frame.loc["edge", "perception"] and "<br>" in frame.loc["edge", "perception"]
    assert len(tables["all"]) == 5 * 2 * (1 + 2 + 3)


def test_scores_that_are_missing_or_of_other_data_are_refused_with_the_command(scored):
    def fails(*said: str) -> None:
        with pytest.raises(SgtError) as refused:
            Scores(scored)
        assert all(word in str(refused.value) for word in said), refused.value

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


def test_a_study_from_its_runs_to_its_report(study, monkeypatch):
    write_study(Path(), arms=["base", "sft", "segmentation", "inpainting"])
    loaded = load_study(study)
    for run in loaded.runs:
        words = [study, "--model", run.model, "--arm", run.arm, "--seed", run.seed]
        sgt("train", *words)
        for benchmark in loaded.benchmarks:
            sgt("predict", *words, "--benchmark", benchmark)
            sgt("score", *words, "--benchmark", benchmark)
        if run.proxy:
            sgt("treatment", *words)
    (Path("results/benchmarks/train")).mkdir(parents=True)
    Path("results/benchmarks/train/a.tsv").write_text("s\th:m:s\tmax_rss\n2.5\t0:00:02\t100.0\n")
    Path("results/benchmarks/train/b.tsv").write_text("s\th:m:s\tmax_rss\n4.0\t0:00:04\t-\n")
    sgt("preview", "results/shards/scenes/shard-00000.tar", "results/figures/proxies.png", "--count", "2")
    for command in ("tables", "figures", "report"):
        sgt(command, study)

    rows = list(csv.DictReader(Path("results/tables/all.csv").read_text().splitlines()))
    # Where no question's count is right there is nothing to be the mean of.
    assert all("given_count" in row["metric"] for row in rows if row["n"] == "0")
    for row in (row for row in rows if row["n"] != "0"):
        for file in row["scores"].split():
            metric = json.loads(Path(file).read_text())["metrics"][row["metric"]]
            assert float(row["value"]) == pytest.approx(metric["value"], abs=1e-6)
            assert (float(row["low"]), int(row["n"])) == (pytest.approx(metric["low"], abs=1e-6), metric["n"])
        assert row["command"].count("sgt ") == 2 and f"--arm {row['arm']}" in row["command"]
    assert {row["arm"] for row in rows} == {"base", "sft", "segmentation", "inpainting"}
    main_rows = list(csv.DictReader(Path("results/tables/main.csv").read_text().splitlines()))
    # Reasoning is over the questions whose count is right, and these models may have none.
    headlines = {row["metric"] for row in main_rows} - {"accuracy/reasoning_given_count"}
    assert headlines == {"accuracy/perception", "generation/score"}
    latex = Path("results/tables/all.tex").read_text()
    lines = [line for line in latex.splitlines() if " & " in line and not line.startswith("metric & ")]
    parts = latex.count(r"\begin{longtable}")
    assert parts and len(lines) == parts * len({(row["benchmark"], row["metric"]) for row in rows})

    figures = {path.stem: Image.open(path) for path in Path("results/figures").glob("*.png")}
    drawn = {"treatment", "samples", "gains", "dimensions", "outcomes", "generation", "scenes", "training", "proxies"}
    assert set(figures) == drawn
    # A column for the input, two for segmentation, three for inpainting; six rows.
    assert figures["samples"].size == (6 + 6 * 102, 46 + 6 * 102)
    assert figures["scenes"].size == (6 + 5 * 102, 26 + 6 * 102)
    text = Path("results/report/index.html").read_text()
    page = Page(text)
    assert {name.removeprefix("figure-") for name in page.ids if name.startswith("figure-")} == {"key", *drawn}
    # Every number of the heat map is a metric of the task, and is explained.
    assert text.count("<summary>what it is</summary>") == len({(row["benchmark"], row["metric"]) for row in rows})
    for run in loaded.runs:
        assert f"sgt train {study} --model micro --arm {run.arm} --seed 0" in text
    # Six steps teach no proxy.
    assert "no proxy arm learned its task" in text
    assert (
        "high-level proxies help more than low-level ones" in text
        and "not administered: segmentation has a use" in text
    )
    assert "different software" not in text
    path = loaded.score_file(loaded.runs[0], "toyworld-qa")
    score = json.loads(path.read_text())
    other = {"python": "3.11.99", "packages": "f" * 64, "elsewhere": "numpy 1.24.0"}
    assert score.pop(SEAL)
    write_record(path, {**score, "environment": {**score["environment"], "predict": other}})
    monkeypatch.setattr(ToyworldGen, "redistributable", False, raising=False)
    sgt("report", study)
    text = Path("results/report/index.html").read_text()
    assert 'id="figure-generation"' in text and 'id="figure-scenes"' not in text
    assert "different software" in text
    assert re.search(
        r">3\.11\.99</th><td.*?><code>f{16}</code>, but from elsewhere numpy 1\.24\.0</td><td.*?>1 prediction</td>",
        text,
    )
    made = [path for page in ("tables", "figures") for path in Path("results", page).iterdir() if path.name != SOURCES]
    again = {path: path.read_bytes() for path in made}
    for command in ("tables", "figures"):
        sgt(command, study)
    assert [path.name for path, content in again.items() if path.read_bytes() != content] == []


def test_runs_are_compared_on_the_questions_whose_count_they_all_have_right(study_with):
    study = study_with({"base": 0.5, "sft": 0.5, "segmentation": 0.5}, seeds=1)
    options = ToyworldQA.Options(name="qa", task="toyworld-qa", version=1, dataset="test", groups=GROUPS)
    # Scene by scene: whether the count and the parity are right.
    answers = {
        "base": [(0, 1), (0, 1), (0, 1), (0, 1)],
        "sft": [(1, 0), (1, 0), (1, 1), (0, 1)],
        "segmentation": [(0, 0), (1, 1), (1, 1), (1, 0)],
    }
    for run in study.runs:
        predictions = []
        for scene, right in enumerate(answers[run.arm]):
            for kind, correct in zip(("count", "parity"), right, strict=True):
                extra = {"twin": f"{scene}-count"} if kind == "parity" else {}
                about = {"dimensions": {"kind": kind}, "groups": {"scene": str(scene)}, "extra": extra}
                row = Row(f"{scene}-{kind}", "q", "text", options=["yes", "no"], answer="yes", **about)
                predictions.append((row, RatedReply("yes" if correct else "no", 1, "stop", [Likelihood(-1, 1, 0)])))
        write_score(study.score_file(run, "qa"), score_predictions(ToyworldQA(options), predictions), run.id)
    cells = Scores(study).cells.set_index(["arm", "metric"])
    values = {arm: cells.loc[arm, "accuracy/reasoning_given_count"] for arm in answers}
    assert (values["sft"]["value"], values["sft"]["n"]) == (pytest.approx(1 / 3), 3)
    assert (values["segmentation"]["value"], values["segmentation"]["n"]) == (pytest.approx(2 / 3), 3)
    # Both have the counts of the second and the third scene right.
    assert values["segmentation"]["gain"] == 0.5
    # The base has no count right.
    assert np.isnan(values["base"]["value"]) and np.isnan(values["base"]["gain"]) and values["base"]["n"] == 0
    assert "–" in published(study)


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
