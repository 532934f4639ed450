"""Means with 95% intervals, and differences between runs on the same items, over items and training seeds.

Questions about one image are not independent, so the spread is taken over clusters (images): the variance of the mean
is the sum over clusters of their squared summed residuals (Liang and Zeger 1986, with the usual C / (C - 1)).

Several seeds answer the same items, so seeds and clusters are crossed, and both are samples of what could have been:
another training, other images. With z[s, c] what cluster c adds to seed s's mean, scaled so that the mean of z is the
mean of all items less itself, the usual mean squares of S seeds and C clusters give the variance of the mean:

    between seeds  A = max(MS_seeds, MS_rest) / (S C)
    of items       B = max(MS_clusters - MS_rest, 0) / (S C)
    variance       A + B, with (A + B)² / (A² / (S - 1) + B² / (C - 1)) degrees of freedom (Satterthwaite)

This is how a few readers who all read the same cases are compared (Obuchowski and Rockette 1995; Hillis 2007,
Statistics in Medicine 26:596), except that seeds never count as agreeing better than chance lets them (the first max):
two or three of them do so by luck often enough that intervals would miss the truth one time in ten. So these cover it
at least nineteen times in twenty. With one seed the variance is the clustered one above; with items that all agree the
interval is Student's over seeds. Resampling seeds (a hierarchical bootstrap) would be far too narrow for the two or
three that a study has: its variance between seeds is (S - 1) / S of the right one, and its quantiles are not Student's.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

LEVEL = 0.95
# How often a difference of the smallest detectable size would be seen.
POWER = 0.8
RESAMPLES = 2000
# A standard error of values in [0, 1] that is smaller is one of rounding: they are all the same.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Estimate:
    """A mean, its 95% interval, and the number of items it is over; NaN where it is not known."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Difference(Estimate):
    """A mean difference.

    Attributes:
        detectable: the smallest true difference that would leave zero out of such an interval four times in five.
        seeds: how many training seeds it is over. With one, the interval is over items alone.
        p: of a two-sided test of no difference, which is below 0.05 where the interval leaves zero out.
    """

    detectable: float
    seeds: int
    p: float = np.nan

    def __neg__(self) -> "Difference":
        return replace(self, value=-self.value, low=-self.high, high=-self.low)


def proportion(values: ArrayLike, clusters: Sequence[str]) -> Estimate:
    """Mean of values in [0, 1], with Wilson's interval at the effective sample size.

    The effective size is that of an independent sample with the same standard error, at most the number of items; if
    all values are the same it is the number of clusters, so that the interval never shrinks to a point. With several
    seeds it is reduced by the square of Student's over the normal quantile (Korn and Graubard 1998).

    Args:
        values: per item, or seeds × items.
        clusters: the cluster of each item.
    """
    from scipy.special import ndtri, stdtrit  # imported where it is used: every start of Snakemake loads this module

    x = np.atleast_2d(np.asarray(values, float))
    mean, n = x.mean() if x.size else np.nan, x.shape[1]
    if np.isnan(mean):
        return Estimate(np.nan, np.nan, np.nan, n)
    of, count = _numbered(clusters)
    error, freedom = _standard_error(_added(x, of, count))
    differ = error > _ROUNDING
    z = ndtri(0.5 + LEVEL / 2)
    size = min(mean * (1 - mean) / error**2, n) if differ else count
    if len(x) > 1 and differ:
        size *= (z / stdtrit(freedom, 0.5 + LEVEL / 2)) ** 2
    centre = (mean + z**2 / (2 * size)) / (1 + z**2 / size)
    half = z / (1 + z**2 / size) * np.sqrt(mean * (1 - mean) / size + z**2 / (4 * size**2))
    # At 0 and 1 rounding would leave the bound a hair inside the mean.
    low, high = min(mean, max(0.0, centre - half)), max(mean, min(1.0, centre + half))
    return Estimate(float(mean), float(low), float(high), n)


def bootstrap(values: ArrayLike, statistic: Callable[[np.ndarray], np.ndarray]) -> Estimate:
    """A statistic of the means of some values, with its percentile interval over resampled items.

    Args:
        values: items × values, such as the two of a ratio.
        statistic: from means (…, values) to one number for each (…).

    Raises:
        ValueError: there are no items.
    """
    x = np.asarray(values, float)
    if not len(x):
        raise ValueError("no items")
    chosen = np.random.default_rng(0).integers(len(x), size=(RESAMPLES, len(x)))
    low, high = np.quantile(statistic(x[chosen].mean(axis=1)), [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return Estimate(float(statistic(x.mean(axis=0))), float(low), float(high), len(x))


def unbounded_mean(values: ArrayLike, clusters: Sequence[str]) -> Estimate:
    """Mean of values of any size, with Student's interval; without one if all items are of one cluster.

    Args:
        values: per item, or seeds × items.
        clusters: the cluster of each item.
    """
    found = paired_difference(values, np.zeros_like(values), clusters)
    return Estimate(found.value, found.low, found.high, found.n)


def paired_difference(a: ArrayLike, b: ArrayLike, clusters: Sequence[str]) -> Difference:
    """Mean of ``a - b`` on the same items, with Student's interval; without one if all items are of one cluster.

    Args:
        a, b: values of the same items in the same order, or seeds × items; one of them may have one seed alone.
        clusters: the cluster of each item.
    """
    x = np.atleast_2d(np.asarray(a, float)) - np.atleast_2d(np.asarray(b, float))
    if not x.size:
        return _unknown(len(x))
    return _difference(x.mean(), _added(x, *_numbered(clusters)), x.shape[1])


def difference_of_means(a: ArrayLike, b: ArrayLike, of_a: Sequence[str], of_b: Sequence[str]) -> Difference:
    """Mean of ``a`` less mean of ``b``, two sets of items of the same clusters and seeds, with Student's interval.

    Args:
        a, b: values per item, or seeds × items; they need not have as many items.
        of_a, of_b: the cluster of each item.
    """
    x, y = (np.atleast_2d(np.asarray(values, float)) for values in (a, b))
    if not x.size or not y.size:
        return _unknown(len(x))
    of, count = _numbered([*of_a, *of_b])
    of_x, of_y = np.split(of, [x.shape[1]])
    added = _added(x, of_x, count) - _added(y, of_y, count)
    return _difference(x.mean() - y.mean(), added, x.shape[1] + y.shape[1])


def _difference(value: float, added: np.ndarray, n: int) -> Difference:
    from scipy.special import stdtr, stdtrit  # imported where it is used: every start of Snakemake loads this module

    error, freedom = _standard_error(added)
    student = stdtrit(freedom, 0.5 + LEVEL / 2)
    half, detectable = student * error, (student + stdtrit(freedom, POWER)) * error
    # Items that all agree leave no doubt.
    p = 2 * stdtr(freedom, -abs(value) / error) if error != 0 else float(value == 0)
    return Difference(
        float(value), float(value - half), float(value + half), n, float(detectable), len(added), float(p)
    )


def adjusted(p: Sequence[float]) -> list[float]:
    """p-values corrected for how many there are, so that all are right together 19 times in 20 (Holm 1979).

    Args:
        p: of each test; NaN of what could not be tested, which does not count.
    """
    ordered = sorted((value, place) for place, value in enumerate(p) if not np.isnan(value))
    found, least = [np.nan] * len(p), 0.0
    for rank, (value, place) in enumerate(ordered):
        least = max(least, min(1.0, value * (len(ordered) - rank)))
        found[place] = least
    return found


def _unknown(seeds: int) -> Difference:
    return Difference(np.nan, np.nan, np.nan, 0, np.nan, seeds)


def _numbered(clusters: Sequence[str]) -> tuple[np.ndarray, int]:
    """The number of each item's cluster, and how many there are. Sums go over clusters in the order of their names."""
    number = {name: place for place, name in enumerate(sorted(set(clusters)))}
    return np.fromiter(map(number.__getitem__, clusters), np.intp, len(clusters)), len(number)


def _added(x: np.ndarray, of: np.ndarray, count: int) -> np.ndarray:
    """What each cluster adds to each seed's mean: seeds × clusters, whose mean is zero.

    Residuals are from the seed's own mean, so that clusters of different sizes do not take a difference between
    seeds for one between clusters.
    """
    means = x.mean(axis=1, keepdims=True)
    sums = np.stack([np.bincount(of, weights=row, minlength=count) for row in x - means])
    return sums * count / x.shape[1] + means - means.mean()


def _standard_error(added: np.ndarray) -> tuple[float, float]:
    """Standard error of a mean and its degrees of freedom, from seeds × clusters; NaN if there is one cluster."""
    seeds, clusters = added.shape
    if clusters < 2 or np.isnan(added).any():
        return np.nan, np.nan
    of_clusters = added.mean(axis=0)
    square_of_clusters = seeds * (of_clusters**2).sum() / (clusters - 1)
    if seeds == 1:
        return float(np.sqrt(square_of_clusters / clusters)), clusters - 1
    of_seeds = added.mean(axis=1, keepdims=True)
    square_of_seeds = clusters * (of_seeds**2).sum() / (seeds - 1)
    rest = ((added - of_seeds - of_clusters) ** 2).sum() / ((seeds - 1) * (clusters - 1))
    a = max(square_of_seeds, rest) / added.size
    b = max(square_of_clusters - rest, 0.0) / added.size
    if a + b == 0:
        return 0.0, clusters - 1
    return float(np.sqrt(a + b)), float((a + b) ** 2 / (a**2 / (seeds - 1) + b**2 / (clusters - 1)))


def linearised(columns: Mapping[str, ArrayLike], statistic: Callable[[Mapping[str, float]], float]) -> np.ndarray:
    """Values of items whose mean is a statistic of their columns' sums, and whose spread is its spread.

    Each is the statistic, and on top what a little more of this item would change (its influence, by central
    differences), as for ratios in :mod:`sgt.evaluation.metrics`.

    Args:
        columns: what each item adds to each sum, (n,).
        statistic: of the sums.

    Returns:
        fp64 (n,); NaN if the statistic is.
    """
    of_items = {name: np.asarray(values, float) for name, values in columns.items()}
    sums = {name: float(values.sum()) for name, values in of_items.items()}
    count = len(next(iter(of_items.values())))
    values = np.full(count, statistic(sums), float)
    for name, total in sums.items():
        step = 1e-5 * max(abs(total), 1.0)
        slope = (statistic({**sums, name: total + step}) - statistic({**sums, name: total - step})) / (2 * step)
        values += slope * (count * of_items[name] - total)
    return values
