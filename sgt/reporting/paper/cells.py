"""Tables of arms by measures: each cell with its interval, its test against the control, and what the paper prints.

A measure is a benchmark's metric, or the mean of several metrics of different benchmarks. Benchmarks share no items, so
the variance of such a mean is the sum of theirs; over several training seeds, which they do share, half-widths are
averaged instead, which covers at least as often.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import hypot

import numpy as np

from sgt.config.printed import Printed, printed_value
from sgt.config.study import ARM_WITHOUT_PROXY
from sgt.evaluation.metrics import Metric
from sgt.evaluation.statistics import Difference, Estimate, adjusted
from sgt.reporting.comparisons import difference, helped
from sgt.reporting.paper.curves import Place
from sgt.reporting.scores import Scores
from sgt.reporting.verdicts import direction

LEVEL = 0.05
# Of the normal distribution, of half a 95% interval.
HALF = 1.960


@dataclass(frozen=True)
class Measure:
    """A column: the mean of some metrics, usually of one.

    Attributes:
        title: at its head.
        of: benchmarks and their metrics; none if the study measures nothing of the kind.
    """

    title: str
    of: tuple[tuple[str, Metric], ...] = ()


@dataclass(frozen=True)
class Cell:
    """A measure of an arm.

    Attributes:
        value: with its interval, and n of all its items.
        seeds: of training.
        gain: over the control; None if there is none, or the arm is it.
        p: of the gain, corrected for all comparisons in the table (Holm); NaN if it was not tested.
        administered: False if the arm did not learn its proxy; nothing is claimed about it.
        best: better than the control by that test, and than every other arm beyond the interval of the difference.
        printed: by the paper, where it is comparable.
    """

    value: Estimate
    seeds: int
    gain: Difference | None
    p: float = np.nan
    administered: bool = True
    best: bool = False
    printed: Printed | None = None

    @property
    def is_significant(self) -> bool:
        """Whether the corrected test sees a gain or a loss."""
        return self.p < LEVEL


@dataclass(frozen=True)
class PaperTable:
    """Rows by columns; a cell of what was not run is None."""

    name: str
    caption: str
    places: list[Place]
    measures: list[Measure]
    cells: list[list[Cell | None]]
    gains: bool = False


def table_of(
    scores: Scores,
    name: str,
    caption: str,
    places: Sequence[Place],
    measures: Sequence[Measure],
    printed: str | None = None,
    gains: bool = False,
) -> PaperTable:
    """Measure and compare every arm.

    Args:
        scores: of the study.
        name, caption: of the table.
        places, measures: its rows and columns.
        printed: the paper's table of the same values.
        gains: whether it shows gains, and not the values themselves.
    """
    cells = [[_cell(scores, place, measure, printed) for measure in measures] for place in places]
    tested = [cell for row in cells for cell in row if cell is not None and cell.gain and cell.administered]
    corrected = dict(zip(map(id, tested), adjusted([cell.gain.p for cell in tested if cell.gain]), strict=True))
    cells = [[cell and replace(cell, p=corrected.get(id(cell), np.nan)) for cell in row] for row in cells]
    for column, measure in enumerate(measures):
        for model in dict.fromkeys(place.model for place in places):
            rows = [row for row, place in enumerate(places) if place.model == model and cells[row][column]]
            if (
                best := _best(scores, [places[row] for row in rows], [cells[row][column] for row in rows], measure)
            ) >= 0:
                cells[rows[best]][column] = replace(cells[rows[best]][column], best=True)
    return PaperTable(name, caption, list(places), list(measures), cells, gains)


def _cell(scores: Scores, place: Place, measure: Measure, printed: str | None) -> Cell | None:
    study = scores.study
    if not measure.of or place.arm not in study.study.arms:
        return None
    values, gains = [], []
    for benchmark, metric in measure.of:
        items = scores.items(place.model, place.arm, benchmark, metric)
        values.append(metric.estimate(items.values, items.clusters))
        if place.arm != ARM_WITHOUT_PROXY and ARM_WITHOUT_PROXY in study.study.arms:
            gains.append(scores.over_control(place.model, place.arm, benchmark, metric))
    seeds = len(scores.runs(place.model, place.arm))
    value = mean(values, len(study.study.seeds))
    if np.isnan(value.value):
        return None
    of_paper = None
    if printed and len(measure.of) == 1:
        ((benchmark, metric),) = measure.of
        of_paper = printed_value(
            printed, study.models[place.model], place.arm, study.benchmarks[benchmark], metric.name
        )
    administered = scores.administered(place.model, place.arm) is not False
    return Cell(
        value, seeds, mean(gains, len(study.study.seeds)) if gains else None, np.nan, administered, False, of_paper
    )


def mean(parts: Sequence[Estimate], seeds: int):
    """The mean of estimates of different benchmarks, with its interval; of one estimate, itself.

    Args:
        parts: all of one kind; of differences, the mean has a p-value too.
        seeds: of the study.
    """
    if len(parts) == 1:
        return parts[0]
    value = float(np.mean([part.value for part in parts]))
    below = _half([part.value - part.low for part in parts], seeds)
    above = _half([part.high - part.value for part in parts], seeds)
    n = sum(part.n for part in parts)
    if not all(isinstance(part, Difference) for part in parts):
        return Estimate(value, value - below, value + above, n)
    from scipy.special import ndtr

    p = float(2 * ndtr(-abs(value) / (above / HALF))) if above else float(value == 0)
    detectable = _half([part.detectable for part in parts], seeds)
    return Difference(value, value - below, value + above, n, detectable, parts[0].seeds, p)


def _half(halves: Sequence[float], seeds: int) -> float:
    return hypot(*halves) / len(halves) if seeds == 1 else float(np.mean(halves))


def _best(scores: Scores, places: Sequence[Place], cells: Sequence[Cell | None], measure: Measure) -> int:
    """The row that is better than the control by the corrected test, and than all others beyond the intervals of the
    differences; −1 if none is.
    """
    if not measure.of:
        return -1
    sign = 1 if measure.of[0][1].higher_is_better else -1
    ranked = [(sign * cell.value.value, row) for row, cell in enumerate(cells) if cell and cell.administered]
    if len(ranked) < 2:
        return -1
    _, best = max(ranked)
    cell = cells[best]
    if cell is None or cell.gain is None or not cell.is_significant or sign * cell.gain.value <= 0:
        return -1
    model, arm, seeds = places[best].model, places[best].arm, len(scores.study.study.seeds)
    for place in places:
        if place.arm in (arm, ARM_WITHOUT_PROXY):
            continue
        over = [
            helped(metric, difference(scores, model, benchmark, metric, [arm], [place.arm]))
            for benchmark, metric in measure.of
        ]
        if direction(mean(over, seeds)) <= 0:
            return -1
    return best
