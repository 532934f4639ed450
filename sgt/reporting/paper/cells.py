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
    _correct(cells)
    for column, measure in enumerate(measures):
        for model in dict.fromkeys(place.model for place in places):
            rows = [row for row, place in enumerate(places) if place.model == model]
            run = {places[row].arm: cell for row in rows if (cell := cells[row][column])}
            best = _best(scores, model, run, measure)
            for row in rows:
                cell = cells[row][column]
                if cell is not None and places[row].arm == best:
                    cells[row][column] = replace(cell, best=True)
    return PaperTable(name, caption, list(places), list(measures), cells, gains)


def _correct(cells: list[list[Cell | None]]) -> None:
    """Put into each cell the p-value of its gain, corrected for all comparisons of the table."""
    tested: dict[tuple[int, int], float] = {}
    for row, of_arm in enumerate(cells):
        for column, cell in enumerate(of_arm):
            if cell is not None and cell.gain is not None and cell.administered:
                tested[row, column] = cell.gain.p
    for (row, column), p in zip(tested, adjusted(list(tested.values())), strict=True):
        if (cell := cells[row][column]) is not None:
            cells[row][column] = replace(cell, p=p)


def _cell(scores: Scores, place: Place, measure: Measure, printed: str | None) -> Cell | None:
    study = scores.study
    if not measure.of or place.arm not in study.study.arms:
        return None
    arms, seeds = study.study.arms, len(study.study.seeds)
    values, gains = [], []
    for benchmark, metric in measure.of:
        values.append(scores.estimate(place.model, place.arm, benchmark, metric))
        if place.arm != ARM_WITHOUT_PROXY and ARM_WITHOUT_PROXY in arms:
            gains.append(scores.over_control(place.model, place.arm, benchmark, metric))
    value = mean(values, seeds)
    if np.isnan(value.value):
        return None
    of_paper = None
    if printed and len(measure.of) == 1:
        ((benchmark, metric),) = measure.of
        model, spec = study.models[place.model], study.benchmarks[benchmark]
        of_paper = printed_value(printed, model, place.arm, spec, metric.name)
        # A printed gain stands beside a gain over the same control, which not every study has.
        of_paper = None if of_paper and of_paper.is_gain and not gains else of_paper
    return Cell(
        value,
        len(scores.runs(place.model, place.arm)),
        mean_difference(gains, seeds) if gains else None,
        administered=scores.administered(place.model, place.arm) is not False,
        printed=of_paper,
    )


def mean(parts: Sequence[Estimate], seeds: int) -> Estimate:
    """The mean of estimates of different benchmarks, with its interval; of one estimate, itself.

    Args:
        parts: the estimates.
        seeds: of the study.
    """
    if len(parts) == 1:
        return parts[0]
    value = float(np.mean([part.value for part in parts]))
    below = _half([part.value - part.low for part in parts], seeds)
    above = _half([part.high - part.value for part in parts], seeds)
    return Estimate(value, value - below, value + above, sum(part.n for part in parts))


def mean_difference(parts: Sequence[Difference], seeds: int) -> Difference:
    """The same of differences, with a p-value by the normal distribution; the arguments are those of :func:`mean`."""
    if len(parts) == 1:
        return parts[0]
    from scipy.special import ndtr

    whole = mean(parts, seeds)
    half = whole.high - whole.value
    p = float(2 * ndtr(-abs(whole.value) / (half / HALF))) if half else float(whole.value == 0)
    detectable = _half([part.detectable for part in parts], seeds)
    return Difference(whole.value, whole.low, whole.high, whole.n, detectable, parts[0].seeds, p)


def _half(halves: Sequence[float], seeds: int) -> float:
    return hypot(*halves) / len(halves) if seeds == 1 else float(np.mean(halves))


def _best(scores: Scores, model: str, cells: dict[str, Cell], measure: Measure) -> str | None:
    """The arm that is better than the control by the corrected test, and than all others beyond the intervals.

    Args:
        scores: of the study.
        model: of the arms.
        cells: of the arms that were run.
        measure: of the cells.
    """
    if not measure.of:
        return None
    sign = 1 if measure.of[0][1].higher_is_better else -1
    ranked = {arm: sign * cell.value.value for arm, cell in cells.items() if cell.administered}
    if not ranked:
        return None
    best = max(ranked, key=lambda arm: ranked[arm])
    gain = cells[best].gain
    if gain is None or not cells[best].is_significant or sign * gain.value <= 0:
        return None
    for arm in cells:
        if arm in (best, ARM_WITHOUT_PROXY):
            continue
        over = [
            helped(metric, difference(scores, model, benchmark, metric, [best], [arm]))
            for benchmark, metric in measure.of
        ]
        if direction(mean_difference(over, len(scores.study.study.seeds))) <= 0:
            return None
    return best
