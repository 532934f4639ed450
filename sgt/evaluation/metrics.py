"""Metrics: what a task reports, described well enough for tables, figures and findings to need no other knowledge.

A score file holds one table of items, as columns, and the description of each metric. A metric is the mean of one
column over some of the items; :func:`items_of` selects them, the same way when a run is scored and when runs are
compared.

Of two kinds of metric, that mean is worked out first: a ratio of two columns' sums (F1), and a weighted mean over
strata, each with a mean or ratio of its own (CV-Bench's sources). Each item then has a value such that the mean of all
values is the metric, and their spread that of the metric: the metric, and on top what a little more of this item would
change (its influence, as in the infinitesimal jackknife: Efron 1982, chapter 6). So intervals, paired differences and
several seeds need to know means alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from typing import Any, Literal

import numpy as np

from sgt.errors import SgtError
from sgt.evaluation.statistics import Estimate, proportion, unbounded_mean

Columns = Mapping[str, Sequence[Any]]
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Metric:
    """One number of a task.

    Attributes:
        name: in score files and CSV tables, unique within the task.
        title: in tables, figures and findings; "accuracy" if it is all that there is to say.
        column: of the items, whose mean it is.
        where: columns and the values that an item must have in them to count; empty for all items.
        aggregation: ``mean`` over rows, or ``all``: over groups of rows, where a group counts as its lowest row (both
            questions of a pair right, or all rotations of a multiple-choice question).
        group: for ``all``, the column whose equal values make a group.
        over: of a ratio, the column whose sum is divided by; the sum of ``column`` is what is divided.
        strata: a column whose equal values make a stratum: the metric is the weighted mean of the strata's own, whose
            sizes are fixed.
        weights: of the strata that count, by their value; None weighs all alike.
        cluster: the unit of resampling: the column whose equal values are not independent of each other, in the
            singular (``scene``, ``image``). ``id`` if every row is independent.
        unit: what the value is, for the axes of figures.
        range: lowest and highest possible value; None where there is no bound.
        higher_is_better: whether a proxy helps by raising it.
        headline: whether it sums up the benchmark in the main table and in findings.
        abilities: what it measures, in the words of the claims that findings are about: ``perception``, ``reasoning``.
        chance: the column with what guessing without the image would get; None if that is not known.
    """

    name: str
    title: str
    column: str
    where: Mapping[str, Sequence[str]] = field(default_factory=dict)
    aggregation: Literal["mean", "all"] = "mean"
    group: str | None = None
    over: str | None = None
    strata: str | None = None
    weights: Mapping[str, float] | None = None
    cluster: str = "id"
    unit: str = "share"
    range: tuple[float | None, float | None] = (0.0, 1.0)
    higher_is_better: bool = True
    headline: bool = False
    abilities: Sequence[str] = ()
    chance: str | None = None

    def __post_init__(self) -> None:
        if (self.aggregation == "all") != (self.group is not None):
            raise ValueError(f"metric {self.name}: aggregation 'all' needs a group, and no other has one")
        if self.group is not None and (self.over or self.strata):
            raise ValueError(f"metric {self.name}: groups of rows have neither ratios nor strata")
        if self.weights is not None and self.strata is None:
            raise ValueError(f"metric {self.name}: weights are of strata: name their column")

    def estimate(self, values: np.ndarray, clusters: Sequence[str]) -> Estimate:
        """Mean and 95% interval of items (n,), or of seeds × items, by their clusters: of bounded values Wilson's."""
        low, high = self.range
        if low is None or high is None:
            return unbounded_mean(values, clusters)
        scaled = proportion((values - low) / (high - low), clusters)
        bounds = (low + (high - low) * bound for bound in (scaled.value, scaled.low, scaled.high))
        # Rounding may take what is worked out from several strata a hair outside of the range.
        value, lower, upper = (min(max(bound, low), high) for bound in bounds)
        return Estimate(value, lower, upper, scaled.n)


@dataclass(frozen=True)
class Terms:
    """What a ratio, or a weighted mean over strata, is worked out from.

    Attributes:
        above, below: fp64 (n,), or (seeds, n): of each item what it adds to a sum, and to the one that divides it.
        stratum_of: of each item.
        weights: of the strata; None weighs all alike.
    """

    above: np.ndarray
    below: np.ndarray
    stratum_of: Sequence[str]
    weights: Mapping[str, float] | None

    def values(self) -> np.ndarray:
        """Those of the items, shaped as ``above``."""
        if self.above.ndim == 1:
            return _with_influence(self.above, self.below, self.stratum_of, self.weights)
        of_each = zip(self.above, self.below, strict=True)
        return np.stack([_with_influence(*one, self.stratum_of, self.weights) for one in of_each])

    def of(self, places: Sequence[int]) -> "Terms":
        """The terms of some items."""
        strata = [self.stratum_of[place] for place in places]
        return Terms(self.above[..., places], self.below[..., places], strata, self.weights)


@dataclass(frozen=True)
class Items:
    """What a metric is the mean of.

    Attributes:
        ids: of each item: the row, or the group of rows.
        clusters: of each item.
        values: fp64 (n,), or (seeds, n), whose mean is the metric; NaN where a run has none. Of a ratio, and over
            strata, each is the metric and what a little more of the item would change: it may be outside the range.
        terms: of a ratio, and over strata, what the values are worked out from; they are others on fewer items.
    """

    ids: list[str]
    clusters: list[str]
    values: np.ndarray
    terms: Terms | None = None


def items_of(metric: Metric, columns: Columns) -> Items:
    """The items of a metric. A run that lacks its column has NaN for each.

    Args:
        metric: selects them.
        columns: of one score file; all as long as ``id``.
    """
    items = _items(metric, columns, metric.column, np.min)
    if metric.over is None and metric.strata is None:
        return items
    chosen = _chosen(metric, columns)
    below = [1.0] * len(items.ids) if metric.over is None else _of(columns[metric.over], chosen)
    stratum_of = [""] * len(items.ids) if metric.strata is None else _of(columns[metric.strata], chosen)
    terms = Terms(items.values, np.array(below, float), stratum_of, metric.weights)
    return replace(items, values=terms.values(), terms=terms)


def stacked(items: Sequence[Items]) -> Items:
    """The same items of several runs as one, whose values are runs × items."""
    values, terms = np.stack([each.values for each in items]), [each.terms for each in items if each.terms]
    if not terms:
        return replace(items[0], values=values)
    above, below = np.stack([each.above for each in terms]), np.stack([each.below for each in terms])
    return replace(items[0], values=values, terms=replace(terms[0], above=above, below=below))


def _with_influence(
    above: np.ndarray, below: np.ndarray, stratum_of: Sequence[str], weights: Mapping[str, float] | None
) -> np.ndarray:
    """Per item, the weighted mean over strata of each one's sum of ``above`` over that of ``below``, and its influence.

    A stratum that has a weight and no items leaves nothing known: NaN.
    """
    names, of = np.unique(np.asarray(stratum_of, str), return_inverse=True)
    if weights is not None and set(names) != set(weights):
        return np.full(len(above), np.nan)
    share = np.array([1.0 if weights is None else weights[name] for name in names], float)
    share /= share.sum()
    totals = np.bincount(of, below)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.bincount(of, above) / totals
        influence = (share / totals)[of] * (above - ratios[of] * below)
    return (share * ratios).sum() + len(above) * influence


def repeated(column: str, number: int) -> str:
    """Name of the column with the values of one repeat, from 1, of what a judge rates several times."""
    return f"{column}@{number}"


def repeats_of(metric: Metric, columns: Columns) -> list[Metric]:
    """The metric over the values of each repeat; none if there is one value of each item."""
    found: list[Metric] = []
    while (column := repeated(metric.column, len(found) + 1)) in columns:
        over = metric.over and repeated(metric.over, len(found) + 1)
        found.append(replace(metric, column=column, over=over if over in columns else metric.over))
    return found


def items_by_repeat(metric: Metric, columns: Columns) -> Items:
    """The items of a metric; their values are repeats × items where a judge rated each several times.

    Repeats and items are crossed, as training seeds and items are, so that what repeats differ by is a level of the
    interval.
    """
    repeats = [items_of(each, columns) for each in repeats_of(metric, columns)]
    if not repeats:
        return items_of(metric, columns)
    return stacked(repeats)


def shared_items(items: Sequence[Items]) -> list[Items]:
    """Each cut to the items that all of them have, in the first one's order.

    Runs have different items of a metric that is over those rows where another row is answered right, or that a judge
    rated. A ratio, or a mean over strata, is worked out anew of the items that are left.
    """
    if all(each.ids == items[0].ids for each in items):
        return list(items)
    places = [{name: place for place, name in enumerate(each.ids)} for each in items]
    ids = [name for name in items[0].ids if all(name in of_one for of_one in places)]
    chosen = [[of_one[name] for name in ids] for of_one in places]
    return [_cut(each, ids, of_one) for each, of_one in zip(items, chosen, strict=True)]


def _cut(items: Items, ids: list[str], places: Sequence[int]) -> Items:
    """The items of these ids, which are at these places."""
    terms = items.terms and items.terms.of(places)
    values = items.values[..., places] if terms is None else terms.values()
    return Items(ids, [items.clusters[place] for place in places], values, terms)


def _items(metric: Metric, columns: Columns, column: str, of_group: Callable[[np.ndarray], float]) -> Items:
    chosen = _chosen(metric, columns)
    ids, cluster_of = _of(columns["id"], chosen), _of(columns[metric.cluster], chosen)
    values = columns.get(column)
    value_of = np.full(len(ids), np.nan) if values is None else np.array(_of(values, chosen), float)
    if metric.group is None:
        return Items(ids, cluster_of, value_of)
    members: dict[str, list[int]] = {}
    for place, group in enumerate(_of(columns[metric.group], chosen)):
        members.setdefault(group, []).append(place)
    grouped = np.array([of_group(value_of[places]) for places in members.values()])
    return Items(list(members), [cluster_of[places[0]] for places in members.values()], grouped)


def _chosen(metric: Metric, columns: Columns) -> bytes:
    """Of each row, 1 if it counts, else 0."""
    chosen = bytes([1]) * len(columns["id"])
    for name, wanted in metric.where.items():
        values = frozenset(wanted)
        chosen = bytes(so_far and value in values for so_far, value in zip(chosen, columns[name], strict=True))
    return chosen


def _of(column: Sequence[Any], chosen: bytes) -> list:
    """The values of a column in the rows that count; the column itself if all do."""
    return column if isinstance(column, list) and all(chosen) else list(compress(column, chosen))


def summary(metric: Metric, columns: Columns) -> dict[str, float] | None:
    """A metric of one run: ``value``, ``low``, ``high``, ``n`` and, if it is known, ``chance``.

    Returns:
        None without items, or if a stratum that has a weight has none.

    Raises:
        SgtError: the metric names a column that is not there, or a value lies outside its range.
    """
    where, remedy = f"metric {metric.name}", "correct the task's metrics"
    optional = (metric.group, metric.over, metric.strata, metric.chance)
    named = {metric.column, metric.cluster, *metric.where, *filter(None, optional)}
    if missing := sorted(named - set(columns)):
        raise SgtError(where, f"no column {missing[0]!r} (there are {', '.join(columns)})", remedy)
    items = items_of(metric, columns)
    if not items.ids:
        return None
    if np.isnan(items.values).all():
        return None
    low, high = metric.range
    least, most = (-np.inf if low is None else low), (np.inf if high is None else high)
    values = items.values if metric.over is None and metric.strata is None else items.values.mean()
    if ((values < least - _ROUNDING) | (values > most + _ROUNDING)).any():
        raise SgtError(where, f"a value is outside [{least}, {most}]", remedy)
    of_repeats = items_by_repeat(metric, columns) if repeats_of(metric, columns) else items
    summed = vars(metric.estimate(of_repeats.values, items.clusters))
    if metric.chance is None:
        return summed
    # Guesses at the members of a group are independent of each other.
    return {**summed, "chance": float(_items(metric, columns, metric.chance, np.prod).values.mean())}
