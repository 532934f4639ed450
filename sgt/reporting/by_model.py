"""The report's tables of results: what sums benchmarks up, model by model, and the heat map of every metric."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sgt.config.study import ARM_WITHOUT_PROXY
from sgt.evaluation.metrics import Metric
from sgt.reporting.explanations import explanation
from sgt.reporting.points import Shown, counted, shown, unit_of_gains, unit_of_values
from sgt.reporting.scores import Scores
from sgt.reporting.wording import readable
from sgt.study.releases import arm_label


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        value: the arm's own.
        gain: over the control; None if there is none.
        seen: ``better`` or ``worse`` where the interval of the gain excludes zero and the arm was administered.
        tint: how large the gain is beside the column's or row's largest that was seen, from 0 to 1.
        administered: False if the arm did not learn its task.
    """

    value: Shown
    gain: Shown | None = None
    seen: str = ""
    tint: float = 0.0
    administered: bool = True


@dataclass(frozen=True)
class Header:
    """A metric at the head of a column or row: unit of values and of gains, how much it is over, and what it is."""

    benchmark: str
    title: str
    unit: str
    unit_of_gains: str
    over: str
    explanation: str


@dataclass(frozen=True)
class ArmRow:
    """An arm's cells, one per header."""

    arm: str
    level: str
    use: Shown | None
    administered: bool
    cells: list[Cell]


@dataclass(frozen=True)
class ModelTable:
    """The main table of a model; ``chance`` and each arm's seeds have a text per header."""

    model: str
    headers: list[Header]
    chance: list[str]
    rows: list[ArmRow]
    seeds: list[tuple[str, int, list[str]]]


@dataclass(frozen=True)
class HeatMap:
    """Every metric by model and arm: a cell per column, the control's own value among them."""

    models: dict[str, list[str]]
    rows: list[tuple[Header, list[Cell]]]


def model_tables(scores: Scores) -> list[ModelTable]:
    """The main table of each model."""
    study, cells = scores.study, _cells(scores)
    metrics = [(name, metric) for name in study.benchmarks for metric in scores.headlines(name)]
    titles = scores.titles((name, metric.name) for name, metric in metrics)
    tables = []
    for model in study.study.models:
        columns = [{arm: cells[model, arm, name, metric.name] for arm in study.study.arms} for name, metric in metrics]
        headers = [
            _header(scores, name, metric, titles[name, metric.name], list(column.values()))
            for (name, metric), column in zip(metrics, columns, strict=True)
        ]
        rows = []
        for arm in study.study.arms:
            use = scores.treatments[model, arm].use if (model, arm) in scores.treatments else None
            rows.append(
                ArmRow(
                    arm_label(study, model, arm),
                    study.proxy(arm).level if use else "",
                    Shown(f"{use.value:.2f}", f"{(use.high - use.low) / 2:.2f}") if use else None,
                    scores.administered(model, arm) is not False,
                    [
                        _cell(metric, column[arm], _largest(column.values()))
                        for (_, metric), column in zip(metrics, columns, strict=True)
                    ],
                )
            )
        chance = [_chance(metric, column.values()) for (_, metric), column in zip(metrics, columns, strict=True)]
        tables.append(ModelTable(model, headers, chance, rows, _by_seed(scores, model, metrics)))
    return tables


def heat_map(scores: Scores) -> HeatMap:
    """Every metric of every benchmark."""
    study, cells = scores.study.study, _cells(scores)
    arms = sorted(study.arms, key=lambda arm: arm != ARM_WITHOUT_PROXY)
    rows = []
    for name in scores.study.benchmarks:
        for metric in scores.metrics(name):
            found = [cells[model, arm, name, metric.name] for model in study.models for arm in arms]
            header = _header(scores, name, metric, readable(metric.title), found)
            rows.append((header, [_cell(metric, each, _largest(found)) for each in found]))
    labels = {model: [arm_label(scores.study, model, arm) for arm in arms] for model in study.models}
    return HeatMap(labels, rows)


def gains_csv(scores: Scores) -> str:
    """Every metric's values and gains as CSV, without the evidence that ``tables/all.csv`` has beside them."""
    return scores.cells.drop(columns=["scores", "command"]).to_csv(index=False, float_format="%.6f")


def _cells(scores: Scores) -> dict[tuple[str, str, str, str], Any]:
    """The rows of :attr:`Scores.cells` by model, arm, benchmark and metric."""
    return {(row.model, row.arm, row.benchmark, row.metric): row for row in scores.cells.itertuples()}


def _cell(metric: Metric, row: Any, largest: float) -> Cell:
    value, administered = shown(metric, row.value, row.low, row.high), row.administered is not False
    if pd.isna(row.gain):
        return Cell(value, administered=administered)
    gain = shown(metric, row.gain, row.gain_low, row.gain_high, gain=True)
    if not _is_seen(row):
        return Cell(value, gain, administered=administered)
    better = (row.gain > 0) == metric.higher_is_better
    return Cell(value, gain, "better" if better else "worse", round(abs(row.gain) / largest, 2))


def _is_seen(row: Any) -> bool:
    """Whether a gain or loss is beyond its interval, and of an arm that was administered."""
    return (row.gain_low > 0 or row.gain_high < 0) and row.administered is not False


def _largest(rows: Iterable[Any]) -> float:
    """The largest gain or loss, of those that are coloured."""
    return max((abs(row.gain) for row in rows if not pd.isna(row.gain) and _is_seen(row)), default=1.0)


def _header(scores: Scores, benchmark: str, metric: Metric, title: str, rows: Sequence[Any]) -> Header:
    n = [int(row.n) for row in rows]
    clusters = [len(set(scores.items(row.model, row.arm, benchmark, metric).clusters)) for row in rows]
    return Header(
        benchmark,
        title,
        unit_of_values(metric),
        unit_of_gains(metric),
        counted(metric, (min(n), max(n)), (min(clusters), max(clusters))),
        explanation(scores, benchmark, metric),
    )


def _chance(metric: Metric, rows: Iterable[Any]) -> str:
    known = [row.chance for row in rows if not pd.isna(row.chance)]
    return shown(metric, known[0], float("nan"), float("nan")).text if known else ""


def _by_seed(scores: Scores, model: str, metrics: Sequence[tuple[str, Metric]]) -> list[tuple[str, int, list[str]]]:
    """Each run's own values; none of a study with one seed, whose table has them already."""
    if len(scores.study.study.seeds) == 1:
        return []
    rows = []
    for run in (run for run in scores.study.runs if run.model == model):
        texts = []
        for name, metric in metrics:
            summed = scores.files[run, name]["metrics"].get(metric.name)
            texts.append(str(shown(metric, *(summed[key] for key in ("value", "low", "high")))) if summed else "–")
        rows.append((arm_label(scores.study, model, run.arm), run.seed, texts))
    return rows
