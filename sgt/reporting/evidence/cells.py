"""The cells of tables as evidence: each number with the evaluations or treatments that it is computed from."""

import math
from typing import Any

import pandas as pd

from sgt.config.benchmarks import Benchmark
from sgt.config.study import ARM_WITHOUT_PROXY
from sgt.evaluation.metrics import Metric
from sgt.evaluation.statistics import Estimate
from sgt.reporting.evidence.schema import Cell, Control, MetricAbout, Value
from sgt.reporting.scores import Scores
from sgt.reporting.tables import tables_of
from sgt.reporting.treatments import Treatments
from sgt.study.loaded import LoadedStudy

USE, FIDELITY = "use", "fidelity"


def cells_of(scores: Scores) -> list[Cell]:
    """The cells of the main table and of that with every metric, in their order."""
    headlines = tables_of(scores)["main"]
    in_main = {(row.model, row.arm, row.benchmark, row.metric) for row in headlines.itertuples()}
    cells = []
    for (model, arm), rows in scores.cells.groupby(["model", "arm"], sort=False):
        cells += treatment_cells(scores.study, scores.treatments, model, arm)
        cells += [_cell(scores, row, (model, arm, row.benchmark, row.metric) in in_main) for row in rows.itertuples()]
    return cells


def _cell(scores: Scores, row: Any, is_headline: bool) -> Cell:
    """A cell of one of the benchmarks' metrics, from a row of :attr:`Scores.cells`."""
    metric, benchmark = scores.metric(row.benchmark, row.metric), scores.study.benchmarks[row.benchmark]
    runs = [run.id for run in scores.runs(row.model, row.arm)]
    gain = None if pd.isna(row.gain) else Value(value=row.gain, low=_known(row.gain_low), high=_known(row.gain_high))
    return Cell(
        **_about(scores.study, row.model, row.arm),
        tables=["main", "all"] if is_headline else ["all"],
        column=f"{row.benchmark} {metric.title}",
        benchmark=row.benchmark,
        metric=_metric(metric, benchmark),
        number=_value(row),
        items=row.n,
        gain=gain,
        evaluations=[f"{run}/{row.benchmark}" for run in runs],
        treatments=[],
        control=_control(scores, row.model, row.benchmark) if gain else None,
    )


def treatment_cells(study: LoadedStudy, treatments: Treatments, model: str, arm: str) -> list[Cell]:
    """The two cells of the main table that show whether an arm learned its proxy; none without a proxy."""
    treatment = treatments.get((model, arm))
    if treatment is None:
        return []
    about, fidelity = _about(study, model, arm), treatment.fidelity
    shown: list[tuple[str, str, bool, tuple[float | None, float | None], Estimate]] = [
        (USE, "", True, (None, 1.0), treatment.use),
        (FIDELITY, fidelity.unit, fidelity.higher_is_better, fidelity.range, fidelity.made),
    ]
    return [
        Cell(
            **about,
            tables=["main"],
            column=column,
            benchmark=None,
            metric=MetricAbout(
                name=USE if column == USE else fidelity.name,
                title=column,
                unit=unit,
                definition={"proxy": treatment.proxy, "dataset": treatment.dataset, "time": treatment.time},
                higher_is_better=higher_is_better,
                range=bounds,
                version=None,
                protocol=None,
            ),
            number=_value(estimate),
            items=treatment.items,
            gain=None,
            evaluations=[],
            treatments=about["runs"],
            control=None,
        )
        for column, unit, higher_is_better, bounds, estimate in shown
    ]


def _about(study: LoadedStudy, model: str, arm: str) -> dict[str, Any]:
    """What every cell of a row has."""
    runs = [run for run in study.runs if (run.model, run.arm) == (model, arm)]
    return {
        "row": f"{model}/{arm}",
        "model": model,
        "arm": arm,
        "seeds": [run.seed for run in runs],
        "runs": [run.id for run in runs],
        "command": f"sgt tables {study.path}",
    }


def _control(scores: Scores, model: str, benchmark: str) -> Control:
    runs = [run.id for run in scores.runs(model, ARM_WITHOUT_PROXY)]
    return Control(arm=ARM_WITHOUT_PROXY, runs=runs, evaluations=[f"{run}/{benchmark}" for run in runs])


def _metric(metric: Metric, benchmark: Benchmark) -> MetricAbout:
    definition = {
        name: getattr(metric, name)
        for name in ("column", "where", "aggregation", "group", "over", "strata", "weights", "cluster")
        if getattr(metric, name)
    }
    return MetricAbout(
        name=metric.name,
        title=metric.title,
        unit=metric.unit,
        definition=definition,
        higher_is_better=metric.higher_is_better,
        range=metric.range,
        version=benchmark.version,
        protocol=benchmark.protocol,
    )


def _value(row: Any) -> Value:
    """Of anything with ``value``, ``low`` and ``high``."""
    return Value(value=_known(row.value), low=_known(row.low), high=_known(row.high))


def _known(number: float) -> float | None:
    """A number, or None for NaN, which JSON does not have."""
    return None if math.isnan(number) else float(number)
