"""What a judge says twice is a level of the interval of one run, and no training seed."""

from dataclasses import asdict
from types import SimpleNamespace

import pytest

from sgt.evaluation.metrics import Metric
from sgt.identity import write_record
from sgt.reporting import environments
from sgt.reporting.comparisons import difference
from sgt.reporting.export import measured
from sgt.reporting.paper.cells import Measure, table_of
from sgt.reporting.paper.curves import Place
from sgt.reporting.released import over_base
from sgt.reporting.scores import Scores
from sgt.study.runs import Run

STEADY = [0.2, 0.4, 0.6, 0.0]
BETTER = [[0.3, 0.6, 0.9, 1.0], [0.5, 0.8, 1.1, 1.0]]
METRIC = Metric("overall", "overall", "overall", {"judged": ["ok"]})


def scores_of(columns: dict[str, dict]) -> Scores:
    """Scores of one run of each arm, given as MODEL/ARM, with these columns of items."""
    scores = object.__new__(Scores)
    runs = {Run(*name.split("/"), 0): items for name, items in columns.items()}
    of_study = SimpleNamespace(arms=[run.arm for run in runs], seeds=[0])
    scores.study, scores.treatments = SimpleNamespace(evaluated_runs=list(runs), study=of_study), {}
    scores.files = {(run, "b"): {"items": items} for run, items in runs.items()}
    scores._items = {}
    return scores


def column(*repeats: list[float]) -> dict:
    count = len(repeats[0])
    return {
        "id": [str(number) for number in range(count)],
        "judged": ["ok"] * (count - 1) + ["refused"],
        "overall": [sum(each) / len(repeats) for each in zip(*repeats, strict=True)],
        **({f"overall@{number}": list(each) for number, each in enumerate(repeats, 1)} if len(repeats) > 1 else {}),
    }


def test_repeats_widen_the_interval_of_a_gain_and_count_as_no_seed():
    once = scores_of({"m/base": column(STEADY), "m/sft": column([0.4, 0.7, 1.0, 1.0])})
    twice = scores_of({"m/base": column(*BETTER), "m/sft": column(STEADY, STEADY)})
    gain = twice.over_control("m", "base", "b", METRIC)
    assert gain.seeds == 1 and gain.n == 3, "the refused row has no value"
    assert gain.value == pytest.approx(0.3)
    single = once.over_control("m", "base", "b", METRIC)
    assert single.value == pytest.approx(-0.3) and single.seeds == 1
    assert gain.high - gain.low > single.high - single.low, "the two repeats differ by 0.2"


def test_repeats_widen_the_intervals_of_released_weights_as_well():
    mean = [sum(each) / 2 for each in zip(*BETTER, strict=True)]
    twice = scores_of({"new/base": column(*BETTER), "old/base": column(STEADY, STEADY)})
    once = scores_of({"new/base": column(mean), "old/base": column(STEADY)})
    gain, single = (over_base(scores, "new", "old", "b", METRIC) for scores in (twice, once))
    assert gain.value == pytest.approx(single.value) == pytest.approx(0.3)
    assert gain.high - gain.low > single.high - single.low and gain.seeds == 1
    value, alone = (scores.estimate("new", "base", "b", METRIC) for scores in (twice, once))
    assert value.value == pytest.approx(alone.value) and value.high - value.low > alone.high - alone.low


def test_findings_and_the_papers_tables_have_the_same_intervals():
    arms = {"m/segmentation": column(*BETTER), "m/depth": column(*BETTER), "m/sft": column(STEADY, STEADY)}
    scores = scores_of(arms)
    gain = scores.over_control("m", "segmentation", "b", METRIC)
    assert difference(scores, "m", "b", METRIC, ["segmentation"], ["sft"]) == gain
    assert difference(scores, "m", "b", METRIC, ["segmentation", "depth"], ["sft"]) == gain, "both have the same values"
    places = [Place("m", arm, arm) for arm in ("segmentation", "sft")]
    table = table_of(scores, "paper-main", "", places, [Measure("GEdit", (("b", METRIC),))])
    assert (
        table.cells[0][0].value == scores.estimate("m", "segmentation", "b", METRIC) and table.cells[0][0].gain == gain
    )


def test_a_card_has_the_same_interval(tmp_path, monkeypatch):
    columns = {"segmentation": column(*BETTER), "sft": column(STEADY, STEADY)}
    about = {name: value for name, value in asdict(METRIC).items() if name != "name"} | {"headline": True}
    summed = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 3, "about": about}
    for arm, items in columns.items():
        write_record(tmp_path / arm, {"items": items, "metrics": {"overall": summed}})
    runs = [Run("m", arm, 0) for arm in columns]
    study = SimpleNamespace(benchmarks={"b": None}, runs=runs, score_file=lambda run, name: tmp_path / run.arm)
    result = SimpleNamespace(
        score=lambda run, benchmark: SimpleNamespace(record=tmp_path / run.arm, fault=lambda: None)
    )
    monkeypatch.setattr(measured, "Results", lambda study: result)
    (found,) = measured.measured(study, runs[0])
    gain = scores_of({f"m/{arm}": items for arm, items in columns.items()}).over_control("m", runs[0].arm, "b", METRIC)
    assert (found.gain.value, found.gain.low, found.gain.high) == (gain.value, gain.low, gain.high)


def test_judging_in_another_environment_is_told_apart(monkeypatch):
    one, other = ({"python": "3.11", "packages": packages} for packages in ("a", "b"))
    monkeypatch.setattr(environments, "read_run", lambda study, run: {"environment": one})
    scores = scores_of({"m/base": column(STEADY)})
    scores.study.runs = scores.study.evaluated_runs
    for stages in ({"predict": one, "score": one}, {"predict": one, "judge": other, "score": one}):
        (score,) = scores.files.values()
        score["environment"] = stages
        assert {row["packages"] for row in environments.environments(scores)} == {
            each["packages"] for each in stages.values()
        }
