"""Numbers as the report shows them: shares in points of a hundred, and half of the 95% interval after ±."""

import re
from dataclasses import dataclass

import numpy as np

from sgt.evaluation.metrics import Metric
from sgt.evaluation.statistics import Difference
from sgt.reporting.scores import interval
from sgt.reporting.verdicts import direction

MISSING = "–"


@dataclass(frozen=True)
class Shown:
    """A number as text.

    Attributes:
        text: the value, in points if the metric is a share; a gain has its sign.
        within: half of its interval; empty without one.
        exact: value and interval in the metric's own unit, as the tables have them.
        sort: the value itself; None if there is none.
    """

    text: str
    within: str = ""
    exact: str = ""
    sort: float | None = None

    def __str__(self) -> str:
        return f"{self.text} ±{self.within}" if self.within else self.text


def is_share(metric: Metric) -> bool:
    """Whether a metric is shown in points of a hundred."""
    return tuple(metric.range) == (0.0, 1.0)


def shown(metric: Metric, value: float, low: float, high: float, gain: bool = False) -> Shown:
    """A value of a metric, or a gain, with its interval; NaN is shown as missing."""
    if value is None or np.isnan(value):
        return Shown(MISSING)
    factor, digits = (100, 1) if is_share(metric) else (1, 3)
    # Adding zero makes a negative zero positive.
    text = f"{round(factor * value, digits) + 0.0:{'+' if gain else ''}.{digits}f}".replace("-", "−")
    within = "" if np.isnan(low) else f"{factor * (high - low) / 2:.{digits}f}"
    return Shown(text, within, interval(value, low, high, sign="+" if gain else ""), float(value))


def unit_of_gains(metric: Metric) -> str:
    """``pp`` (percentage points), or the metric's own unit."""
    return "pp" if is_share(metric) else metric.unit


def unit_of_values(metric: Metric) -> str:
    """``%``, or the metric's own unit."""
    return "%" if is_share(metric) else metric.unit


def value_in_words(metric: Metric, value: float, low: float = np.nan, high: float = np.nan) -> str:
    """``88.9% [87.1, 90.4]``, or ``-0.610 [-0.630, -0.590]`` of what is no share; without an interval no bounds."""
    if not is_share(metric):
        return interval(value, low, high)
    bounds = "" if np.isnan(low) else f" [{100 * low:.1f}, {100 * high:.1f}]"
    return f"{100 * value:.1f}%{bounds}"


def in_words(metric: Metric, gain: Difference) -> str:
    """A difference with its interval, and the smallest that would have been seen if this one was not."""
    if np.isnan(gain.value):
        return MISSING
    factor, digits = (100, 1) if is_share(metric) else (1, 3)
    value, low, high = (
        f"{round(factor * each, digits) + 0.0:+.{digits}f}" for each in (gain.value, gain.low, gain.high)
    )
    unit = unit_of_gains(metric)
    text = f"{value} {unit}" + ("" if np.isnan(gain.low) else f" [{low}, {high}]")
    if direction(gain) or np.isnan(gain.low):
        return text
    return f"{text} (detectable: {factor * gain.detectable:.{digits}f} {unit})"


def counted(metric: Metric, n: tuple[int, int], clusters: tuple[int, int]) -> str:
    """How much a metric is over, as in ``6,709 questions, 400 scenes``.

    Args:
        metric: whose unit names its items.
        n: the fewest and the most items that an arm has.
        clusters: the same of the units of resampling.
    """
    of_share = re.fullmatch(r"share of (\w+)", metric.unit)
    parts = [f"{_range(n)} {of_share[1] if of_share else 'items'}"]
    if metric.cluster != "id":
        of_clusters = f"{_range(clusters)} {metric.cluster}{'' if clusters == (1, 1) else 's'}"
        parts = [of_clusters] if clusters == n else [*parts, of_clusters]
    return ", ".join(parts)


def _range(bounds: tuple[int, int]) -> str:
    low, high = bounds
    return f"{low:,}" if low == high else f"{low:,}–{high:,}"
