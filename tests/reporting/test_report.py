"""The report's page: complete in itself, its tables in points, and what changed with questions and images."""

import base64
import csv
import io
import re
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from sgt.config.benchmarks import FetchedBenchmark
from sgt.data.dataset import open_dataset
from sgt.data.shards import ShardWriter
from sgt.errors import SgtError
from sgt.evaluation.metrics import Metric
from sgt.evaluation.statistics import Difference
from sgt.evaluation.tasks import TASKS
from sgt.evaluation.tasks.toyworld_qa import ToyworldQA
from sgt.reporting.by_model import heat_map, model_tables
from sgt.reporting.changes import MAX_SHOWN, changes
from sgt.reporting.explanations import explained, explanation
from sgt.reporting.opening import key_figure
from sgt.reporting.pictures import SIDE
from sgt.reporting.points import Shown, counted, in_words, shown
from sgt.reporting.scores import Scores
from sgt.study.load import load_study
from tests.conftest import sgt
from tests.reporting.conftest import ARMS, SCENES, published
from tests.reporting.page import Page

SECTIONS = [
    *("In short", "Did the arms learn their task?", "What they gained", "The proxies", "Set-up", "Results by model"),
    *(
        "The paper's tables",
        "Every metric",
        "What changed",
        "Analysis",
        "Evidence",
        "Costs, hardware and duration",
        "References",
    ),
    "Licence and release status",
]


def test_the_page_is_complete_in_itself(answered, vector_figures, monkeypatch):
    draw(answered, 0)
    text = published(answered)
    page = Page(text)
    kinds = dict(re.findall(r'id="figure-(\w+)".*?src="data:image/([\w+]+);', text))
    assert kinds["gains"] == kinds["dimensions"] == "svg+xml" and "drawn by segmentation, its target" in text
    assert [title for level, title in page.headings if level == 2] == SECTIONS
    contents = re.findall(r'<li><a href="#(\w+)">', text)
    assert contents == re.findall(r'<h2 id="(\w+)">', text)
    # A browser refuses to load anything else.
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'" in text
    assert "@misc{yu2026sgt," in text and "@misc{deng2025bagel," in text and "omnigen2" not in text
    assert "not ready to be released</b>: one training seed: no finding is more than seen once" in text
    (download,) = re.findall(r'href="data:text/csv;base64,([\w+/=]+)"', text)
    rows = list(csv.DictReader(io.StringIO(base64.b64decode(download).decode())))
    cells = Scores(answered).cells
    assert [float(row["value"]) for row in rows] == pytest.approx(list(cells["value"]), abs=1e-6)
    (main,) = (table for table in page.tables if table[0][:2] == ["arm", "use"])
    header = main[0][2]
    assert re.match(rf"perception%; \d+ questions, {SCENES} scenes$", header), header
    gain = cells[(cells["arm"] == "segmentation") & (cells["metric"] == "accuracy/perception")].iloc[0]
    row = next(row for row in main if row[0].startswith("segmentation"))
    half = 100 * (gain["gain_high"] - gain["gain_low"]) / 2
    assert row[2].endswith(f"{100 * gain['gain']:+.1f} ±{half:.1f} pp") and gain["gain"] > 0
    assert f"[{gain['gain_low']:+.3f}, {gain['gain_high']:+.3f}]" in text

    questions = {each.question for each in changes(Scores(answered)).shown}
    assert questions and all(question in text for question in questions)
    monkeypatch.setattr(ToyworldQA, "redistributable", False, raising=False)
    sgt("report", answered.path)
    text = Path("results/report/index.html").read_text()
    assert not any(question in text for question in questions) and "no: its rows are not in this page" in text


def test_what_changed_has_both_replies_the_answer_and_the_image(answered):
    scores = Scores(answered)
    found = changes(scores)
    assert found.pairs == [("micro", "segmentation"), ("micro", "edge")] and not found.not_shown
    items = {arm: scores.files[scores.runs("micro", arm)[0], "qa"]["items"] for arm in ("sft", "segmentation", "edge")}
    for arm in ("segmentation", "edge"):
        pairs = zip(items["sft"]["kind"], items["sft"]["accuracy"], items[arm]["accuracy"], strict=True)
        flips = Counter((kind, now > was) for kind, was, now in pairs if was != now)
        for (_, kind), by_pair in found.counts.items():
            assert by_pair["micro", arm] == (flips[kind, True], flips[kind, False])
    right = {arm: dict(zip(each["id"], each["accuracy"], strict=True)) for arm, each in items.items()}
    assert {(each.arm, each.change) for each in found.shown} == {
        (arm, change) for arm in ("segmentation", "edge") for change in ("fixed", "broke")
    }
    for each in found.shown:
        assert (right["sft"][each.id], right[each.arm][each.id]) == ((0, 1) if each.change == "fixed" else (1, 0))
        assert {each.before, each.after} > {each.answer} and each.before != each.after
        assert each.answer == (each.after if each.change == "fixed" else each.before)
        (image,) = each.images
        with Image.open(io.BytesIO(base64.b64decode(image.partition(",")[2]))) as picture:
            assert max(picture.size) <= SIDE
    # Every kind that changed is there before any is there twice.
    shown_kinds = Counter(each.kind for each in found.shown if (each.arm, each.change) == ("edge", "broke"))
    assert max(shown_kinds.values()) - min(shown_kinds.values()) <= max(shown_kinds.values()) // 2 + 1
    assert len(found.shown) <= MAX_SHOWN
    assert changes(Scores(answered)) == found


def test_rows_that_may_not_be_redistributed_are_counted_and_never_shown(answered, monkeypatch):
    assert changes(Scores(answered)).shown
    monkeypatch.setattr(ToyworldQA, "redistributable", False, raising=False)
    found = changes(Scores(answered))
    assert not found.shown and found.not_shown == [
        "qa: its questions and images may not be redistributed, so none is shown"
    ]
    assert sum(fixed + broke for by_pair in found.counts.values() for fixed, broke in by_pair.values())


def test_large_images_become_small_ones(answered, monkeypatch):
    monkeypatch.setattr("sgt.evaluation.tasks.toyworld_qa.image_of", lambda sample: Image.effect_noise((900, 600), 80))
    images = [image for each in changes(Scores(answered)).shown for image in each.images]
    assert images and all(image.startswith("data:image/jpeg") and len(image) < 20_000 for image in images)


def test_predictions_that_are_not_those_that_were_scored_are_refused(answered):
    run = answered.runs[-1]
    path = answered.prediction_dir(run, "qa") / "predictions.jsonl"
    path.write_text(path.read_text() + "\n")
    with pytest.raises(SgtError, match="not the predictions that were scored"):
        changes(Scores(answered))
    path.unlink()
    found = changes(Scores(answered))
    assert (
        found.not_shown == ["qa: its predictions are not here, so none is shown"] and not found.shown and found.counts
    )


def test_a_study_of_several_seeds_shows_each(study_with):
    study = study_with({arm: 0.95 if arm == "segmentation" else 0.6 for arm in ARMS}, 3, use={"edge": 0.07})
    scores = Scores(study)
    (table,) = model_tables(scores)
    assert [(arm, seed) for arm, seed, _ in table.seeds] == [(run.arm, run.seed) for run in study.runs]
    value = scores.files[study.runs[1], "qa"]["metrics"]["accuracy/perception"]["value"]
    assert table.seeds[1][2][0].startswith(f"{100 * value:.1f} ±")
    cells = {row.arm: row.cells[0] for row in table.rows}
    assert (cells["segmentation"].seen, cells["segmentation"].tint) == ("better", 1.0)
    # Neither the control nor an arm that did not learn its task is coloured.
    assert cells["sft"].gain is None and (cells["edge"].seen, cells["edge"].administered) == ("", False)
    heat = heat_map(scores)
    assert heat.models == {"micro": ["sft", "base", "segmentation", "edge", "reconstruction"]}
    assert [header.title for header, _ in heat.rows] == [metric.title for metric in scores.metrics("qa")]
    figure = key_figure(scores)
    (points,) = figure.groups[0].panels.values()
    assert [(point.arm, point.seen, point.administered) for point in points] == [
        ("segmentation", "better", True),
        ("edge", "", False),
        ("reconstruction", "", True),
    ]
    for point in points:
        assert 0 <= point.low <= point.at <= point.high <= 100
    assert points[0].low > figure.groups[0].zero


def test_shares_are_shown_in_points():
    share = Metric("a", "a", "a", unit="share of questions", cluster="scene")
    nats = Metric("b", "b", "b", unit="nats", range=(None, 0.0))
    assert str(shown(share, 0.022, 0.011, 0.033, gain=True)) == "+2.2 ±1.1"
    assert str(shown(share, -0.022, -0.033, -0.011, gain=True)) == "−2.2 ±1.1"
    # Of what is rounded to zero.
    assert shown(share, -0.0002, -0.01, 0.01, gain=True).text == "+0.0"
    assert str(shown(nats, -0.6104, -0.63, -0.59)) == "−0.610 ±0.020"
    assert shown(share, float("nan"), float("nan"), float("nan")) == Shown("–")
    seen, unseen = Difference(0.022, 0.011, 0.033, 100, 0.012, 1), Difference(-0.001, -0.004, 0.002, 100, 0.0041, 1)
    assert in_words(share, seen) == "+2.2 pp [+1.1, +3.3]"
    assert in_words(share, unseen) == "-0.1 pp [-0.4, +0.2] (detectable: 0.4 pp)"
    assert in_words(nats, seen) == "+0.022 nats [+0.011, +0.033]"
    assert counted(share, (4161, 4161), (400, 400)) == "4,161 questions, 400 scenes"
    assert counted(share, (442, 483), (1, 1)) == "442–483 questions, 1 scene"
    assert counted(share, (100, 100), (100, 100)) == "100 scenes"


@pytest.mark.parametrize("name", sorted(TASKS))
def test_every_column_that_a_task_explains_is_explained_in_words(name):
    assert all(re.fullmatch(r"(?:[^.]|\.\d){5,}", text) for text in TASKS[name].explanations.values())


def test_explanations_name_what_a_metric_is_over(scored):
    scores = Scores(scored)
    of = {name: explanation(scores, "qa", scores.metric("qa", name)) for name in ("accuracy", "accuracy/perception")}
    assert of["accuracy"] == "share of questions whose whole reply is the right answer"
    assert of["accuracy/perception"] == f"{of['accuracy']}; kind: count, left right"
    pairs = Metric("p", "pairs", "accuracy", aggregation="all", group="pair", higher_is_better=False)
    assert explanation(scores, "qa", pairs).endswith("; a pair counts as its lowest; lower is better")
    assert explanation(scores, "qa", Metric("x", "x", "unknown")) == ""


def draw(study, place: int) -> str:
    """Write what segmentation drew of a scene, a red square; returns the scene's key."""
    (arm,) = [run for run in study.runs if run.arm == "segmentation"]
    key, path = open_dataset(study.dataset_dir("test")).keys[place], study.drawn_targets(arm)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(picture, "PNG")
    with ShardWriter(path) as shard:
        shard.add(key, {"png": picture.getvalue(), "target.png": picture.getvalue()})
    return key


def test_what_arms_drew_of_a_questions_scene_stands_beside_it(answered):
    # The study checks its proxy arms on the scenes that the questions are about.
    assert answered.held_out == "test"
    key = draw(answered, 3)
    found = changes(Scores(answered)).shown
    drawn = [each for each in found if each.drawn]
    assert drawn and {each.arm for each in drawn} == {"segmentation"} and all(each.id.startswith(key) for each in drawn)
    ((label, address),) = drawn[0].drawn
    assert label == "segmentation, its target"
    with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as image:
        assert image.getpixel((4, 4)) == (255, 0, 0)
    # Of what an arm drew, every changed question is shown, whatever its kind.
    flips = [each for each in found if each.arm == "segmentation" and each.id.startswith(key)]
    assert flips == drawn


def test_every_metric_of_every_published_benchmark_is_explained(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    paper = load_study("config/paper.yaml")
    missing = [
        f"{name}: {metric.name}"
        for name, benchmark in paper.benchmarks.items()
        if isinstance(benchmark, FetchedBenchmark)
        for metric in TASKS[benchmark.task](benchmark).metrics([])
        if not explained(TASKS[benchmark.task].explanations, metric)
    ]
    assert missing == []
