"""Mean ablation: which layers, a benchmark's questions in every condition, and the share of a gain that is lost."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sgt.analysis.ablation import mean_reads
from sgt.analysis.ablation_record import items_in, record_of
from sgt.analysis.analyse import read_findings
from sgt.analysis.analyses.ablate import MeanAblations
from sgt.analysis.layer_sets import draw_others, moved_layers
from sgt.data.dataset import open_dataset
from sgt.errors import SgtError
from sgt.identity import read_record, write_record
from sgt.models import batching
from sgt.reporting.ablation_figure import ablation_figure
from sgt.reporting.ablations import MOVED, NO_GAIN, OTHER, OTHERS, ablations_of
from sgt.reporting.scores import Scores
from sgt.study.load import load_study
from sgt.study.results import Results
from sgt.study.runs import Run
from tests.conftest import MADE_ARMS, sgt, write_study
from tests.evaluation.tasks import test_cv_bench as cv_bench
from tests.evaluation.tasks.published import task
from tests.models.conftest import load_micro
from tests.reporting.conftest import study_with, write_scores  # noqa: F401 - a fixture

ATTEND = {"analysis": "attend", "dataset": "test", "samples": 4}
ABLATE = {"analysis": "ablate", "dataset": "questions", "samples": 2, "benchmark": "toyworld-qa"}


def test_as_many_other_layers_are_drawn_and_differ():
    assert moved_layers([0.1, -0.3, 0.2, 0.3], 2) == (1, 3)
    assert draw_others(4, (1,), draws=9, seed=0) == [(0,), (2,), (3,)]
    few = draw_others(28, (3, 20, 25), draws=5, seed=0)
    assert len(set(few)) == 5 and all(len(set(each) - {3, 20, 25}) == 3 for each in few)
    assert few == draw_others(28, (3, 20, 25), draws=5, seed=0) != draw_others(28, (3, 20, 25), draws=5, seed=1)
    # Too many sets to list them.
    many = draw_others(64, tuple(range(10)), draws=4, seed=0)
    assert len(set(many)) == 4 and all(len(set(each)) == 10 and min(each) >= 10 for each in many)


@pytest.mark.parametrize("own_limit", [None, 5])
def test_a_few_samples_of_a_published_benchmark_are_of_all_its_parts(own_limit, tmp_path):
    """As published, all questions about 2D come before those about 3D."""
    cv_bench.write(tmp_path)
    benchmark = task("cv-bench", "vlmevalkit", samples=own_limit).options
    study = SimpleNamespace(
        benchmarks={"cv-bench": benchmark},
        models={"micro": None},
        compared_arms=lambda options: [],
        rows_dirs=lambda benchmark: [tmp_path],
    )
    entry = {**ABLATE, "benchmark": "cv-bench", "benchmark_samples": 3}
    analysis = MeanAblations(MeanAblations.Options(**entry))
    analysis.prepare(study, Run("micro", "sft", 0))
    sources = [analysis._samples[place].records[0].source for place in range(len(analysis._samples))]
    assert len(sources) == 3 and len(set(sources)) > 1, sources


@pytest.mark.slow
def test_what_is_read_by_a_batch_that_does_not_fit_counts_once(study, monkeypatch):
    model, dataset = load_micro("bagel", study), open_dataset(Path("results/shards/questions")).first(1)
    run = model._loglikelihood

    def out_of_memory_at_the_end(requests, answers):
        found = run(requests, answers)
        if len(requests) > 2:
            raise torch.OutOfMemoryError("too much")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(model, "_loglikelihood", out_of_memory_at_the_end)
        reads, asked = mean_reads(model, dataset, [0, 1])
    assert asked > 2 and model.batch_sizes.limits
    # Of the sizes that fit, nothing is tried twice.
    want, _ = mean_reads(model, dataset, [0, 1])
    assert reads.counts == want.counts
    for layer in (0, 1):
        torch.testing.assert_close(reads.means[layer], want.means[layer], rtol=0, atol=0)


def test_means_do_not_depend_on_how_many_questions_fit_in_memory(study, monkeypatch):
    model, dataset = load_micro("bagel", study), open_dataset(Path("results/shards/questions")).first(2)
    want, asked = mean_reads(model, dataset, [0])
    # More than the questions about one image, fewer than those about both.
    monkeypatch.setitem(batching.FIRST_TRY, "cpu", 1500)
    reads, again = mean_reads(model, dataset, [0])
    assert again == asked and reads.counts == want.counts
    torch.testing.assert_close(reads.means[0], want.means[0], rtol=1e-6, atol=0)


@pytest.mark.slow
def test_questions_are_asked_with_layers_ablated(results):
    entry = {**ABLATE, "benchmark_samples": 3}
    study = load_study(write_study(Path(), arms=MADE_ARMS, benchmarks=["toyworld-qa"], analyses=[ATTEND, entry]))
    runs = {arm: study.run("micro", arm, 0) for arm in MADE_ARMS}

    def made(command: str, arm: str) -> None:
        sgt(command, study.path, "--model", "micro", "--arm", arm, "--seed", 0)

    assert [(run.arm, name) for run, name in study.analysed if name == "ablate"] == [
        ("sft", "ablate"), ("edge", "ablate"),
    ]  # fmt: skip
    for arm in MADE_ARMS:
        made("attend", arm)
    for arm in ("sft", "edge"):
        made("ablate", arm)
    of_edge, of_control = (read_findings(study, runs[arm], "ablate") for arm in ("edge", "sft"))
    moved = np.subtract(
        *(
            np.mean(read_findings(study, runs[arm], "attend")["answering"]["model"]["question_to_vision"], axis=0)
            for arm in ("edge", "sft")
        )
    )
    layer = int(np.argmax(np.abs(moved)))
    assert of_edge["sets"] == of_control["sets"] == {"edge": {"moved": [layer], "others": [[1 - layer]]}}
    assert set(of_edge["conditions"]) == {"", "0", "1"}
    assert of_edge["reference"]["questions"] == sum(
        len(json.loads(sample)["questions"]) for sample in questions_of_first(study, 2)
    )
    # With nothing ablated, the answers are those of the benchmark; with a layer ablated they are others.
    scored = read_record(study.score_file(runs["edge"], "toyworld-qa"))["items"]
    intact, ablated = (items_in(of_edge, condition) for condition in ("", "1"))
    asked = len(intact["id"])
    assert intact["id"] == scored["id"][:asked] and intact["accuracy"] == scored["accuracy"][:asked]
    assert intact["logprob"] == pytest.approx(scored["logprob"][:asked], abs=1e-3)
    assert np.abs(np.subtract(intact["logprob"], ablated["logprob"])).max() > 1e-4
    # What it read decides it, and what it asked.
    assert Results(study).analysis(runs["edge"], "ablate").fault() is None
    path = study.analysis_file(runs["sft"], "attend")
    record = read_record(path)
    record["findings"]["answering"]["model"]["question_to_vision"][0][0] += 0.5
    write_record(path, record)
    assert "read.micro/sft/seed0 was" in Results(study).analysis(runs["edge"], "ablate").fault()


def questions_of_first(study, count: int) -> list[bytes]:
    from sgt.data.dataset import open_dataset

    dataset = open_dataset(study.dataset_dir("questions"))
    return [dataset[place].get("json") for place in range(count)]


def test_what_cannot_be_ablated_is_refused(results):
    def refused(message: str, *entries: dict, **changes) -> None:
        given = {"arms": MADE_ARMS, "benchmarks": ["toyworld-qa"], **changes}
        with pytest.raises(SgtError, match=message):
            load_study(write_study(Path(), analyses=list(entries), **given))

    refused("analyses.ablate.attention: no analysis 'attend' of the kind attend; add an analysis attend", ABLATE)
    refused("ablate.attention: no analysis 'where'.*use one of attend", ATTEND, {**ABLATE, "attention": "where"})
    refused("analyses.ablate.benchmark: no benchmark 'mmvp'", ATTEND, {**ABLATE, "benchmark": "mmvp"})
    images = {"benchmarks": ["toyworld-qa", "toyworld-gen"]}
    refused("'toyworld-gen' asks nothing", ATTEND, {**ABLATE, "benchmark": "toyworld-gen"}, **images)
    refused("compares trained arms with 'sft', and there is none; add an arm", ATTEND, ABLATE, arms=["base", "sft"])
    study = load_study(
        write_study(Path(), arms=MADE_ARMS, benchmarks=["toyworld-qa"], analyses=[ATTEND, {**ABLATE, "layers": 2}])
    )
    for arm in ("sft", "edge"):
        sgt("attend", study.path, "--model", "micro", "--arm", arm, "--seed", 0)
    from sgt.analysis.analyse import analyse

    with pytest.raises(SgtError, match=r"2 of 2 leave fewer others to compare with \(model micro\); use at most 1"):
        analyse(study, study.run("micro", "edge", 0), "ablate", "ablate", "")
    with pytest.raises(SgtError, match="analysis ablate is not made of arm 'base'"):
        analyse(study, study.run("micro", "base", 0), "ablate", "ablate", "")


# How often questions are answered right, with nothing ablated and with each layer: the gain of segmentation is in its
# second layer, and edge has none.
SKILL = {
    "sft": {"": 0.6, "0": 0.5, "1": 0.5},
    "segmentation": {"": 0.9, "0": 0.8, "1": 0.5},
    "edge": {"": 0.6, "0": 0.5, "1": 0.5},
}


@pytest.fixture
def ablated(study_with, tmp_path):  # noqa: F811
    arms = ["base", *SKILL]
    study_with({"base": 0.6, **{arm: by_layer[""] for arm, by_layer in SKILL.items()}}, seeds=2)
    entry = {**ABLATE, "benchmark": "qa", "dataset": "test"}
    study = load_study(write_study(Path(), arms=arms, benchmarks=["qa"], seeds=[0, 1], analyses=[ATTEND, entry]))
    sets = {arm: {"moved": [1], "others": [[0]]} for arm in ("segmentation", "edge")}
    for run, name in study.analysed:
        if name != "ablate":
            continue
        tables = {}
        for condition, skill in SKILL[run.arm].items():
            path = tmp_path / "made-up.json"
            by_kind = {"count": skill, "left_right": skill, "parity": 0.6}
            # Luck is the same in all conditions but for one item in ten.
            write_scores(path, f"{run.arm} {condition}", run.seed, by_kind, shared=0.9)
            tables[condition] = json.loads(path.read_text())["items"]
        write_record(study.analysis_file(run, "ablate"), {"findings": {"sets": sets, **record_of(tables)}})
    return study


def test_the_planted_layer_carries_the_gain_and_without_a_gain_there_is_no_share(ablated):
    rows = ablations_of(Scores(ablated))
    assert rows["set"].tolist()[:3] == [MOVED, OTHER, OTHERS] and set(rows["arm"]) == {"segmentation", "edge"}
    cells = rows.set_index(["arm", "metric", "set"]).sort_index()
    moved, other, others = (cells.loc["segmentation", "accuracy/perception", each] for each in (MOVED, OTHER, OTHERS))
    assert moved["gain"] == pytest.approx(0.3, abs=0.06) and moved["gain_low"] > 0 and moved["seeds"] == 2
    assert moved["cost"] == pytest.approx(0.4, abs=0.06) and moved["cost_of_control"] == pytest.approx(0.1, abs=0.06)
    assert moved["lost"] == pytest.approx(moved["cost"] - moved["cost_of_control"])
    assert moved["share"] == pytest.approx(1, abs=0.15) and moved["share_low"] < 1 < moved["share_high"]
    assert other["share_low"] < 0 < other["share_high"] and other["lost"] == pytest.approx(others["lost"])
    assert moved["beyond"] == pytest.approx(moved["lost"] - other["lost"]) and moved["beyond_low"] > 0
    assert np.isnan(other["beyond"]) and moved["layers"] == "1" and moved["note"] == ""
    without = cells.loc["edge", "accuracy/perception", MOVED]
    assert without["note"] == NO_GAIN and np.isnan(without["share"]) and np.isfinite(without["lost"])
    # A loss is no gain, either.
    for path in Path("results/analyses").rglob("ablate.json"):
        record = read_record(path)
        column = record["findings"]["conditions"][""]["accuracy"]
        record["findings"]["conditions"][""]["accuracy"] = [1 - value for value in column]
        write_record(path, record)
    worse = ablations_of(Scores(ablated)).set_index(["arm", "metric", "set"]).sort_index()
    harmed = worse.loc["segmentation", "accuracy/perception", MOVED]
    assert harmed["gain_high"] < 0 and harmed["note"] == NO_GAIN


def test_ablations_have_a_table_and_a_figure(ablated):
    from sgt.reporting.contents import figures_of, table_files
    from sgt.reporting.figures import ablations

    assert "ablations.csv" in table_files(ablated) and "ablations" in figures_of(ablated)
    assert "ablations.csv" not in table_files(load_study(write_study(Path("other"), arms=["base", "sft"])))
    figure = ablations(Scores(ablated))
    titles = [axis.get_title() for axis in figure.axes]
    assert titles[0] == "micro: perception" and titles[-1] == "micro: log-probability"
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["no gain\nto explain"]
    # An arm that did not learn its task is hollow.
    rows = ablations_of(Scores(ablated))
    rows["administered"] = rows["arm"] != "edge"
    axis = ablation_figure(rows[rows["metric"] == "accuracy/perception"], {"accuracy/perception": "perception"}).axes[0]
    gains = [line for line in axis.lines if line.get_marker() == "s"]
    assert [line.get_markerfacecolor() == "white" for line in gains] == [False, True]
