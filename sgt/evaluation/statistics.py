"""Means with 95% intervals, and differences between runs on the same items.

Questions about one image are not independent, so the spread is taken over clusters (images): the variance of the mean
is the sum over clusters of their squared summed residuals (Liang and Zeger 1986, with the usual C / (C - 1)).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean, its 95% interval, and the number of items it is over."""

    value: float
    low: float
    high: float
    n: int


def proportion(values: Sequence[float], clusters: Sequence[str]) -> Estimate:
    """Mean of values in [0, 1], with Wilson's interval at the effective sample size.

    The effective size is that of an independent sample with the clustered standard error, at most the number of
    items; if all values are the same it is the number of clusters, so that the interval never shrinks to a point.

    Args:
        values: per item.
        clusters: the cluster of each item.

    Raises:
        ValueError: there are no items.
    """
    x = np.asarray(values, float)
    if not len(x):
        raise ValueError("no items")
    mean, count = x.mean(), len(set(clusters))
    error = _standard_error(x - mean, clusters)
    size = min(mean * (1 - mean) / error**2, len(x)) if error > 0 else count
    z = ndtri(0.5 + LEVEL / 2)
    centre = (mean + z**2 / (2 * size)) / (1 + z**2 / size)
    half = z / (1 + z**2 / size) * np.sqrt(mean * (1 - mean) / size + z**2 / (4 * size**2))
    # At 0 and 1 rounding would leave the bound a hair inside the mean.
    low, high = min(mean, max(0.0, centre - half)), max(mean, min(1.0, centre + half))
    return Estimate(float(mean), float(low), float(high), len(x))


def paired_difference(a: Sequence[float], b: Sequence[float], clusters: Sequence[str]) -> Estimate:
    """Mean of ``a - b`` on the same items, with Student's interval over clusters.

    Args:
        a, b: values of the same items, in the same order.
        clusters: the cluster of each item.

    Raises:
        ValueError: there are no items, or fewer than two clusters.
    """
    x = np.asarray(a, float) - np.asarray(b, float)
    count = len(set(clusters))
    if count < 2:
        raise ValueError(f"{count} clusters")
    mean = x.mean()
    half = stdtrit(count - 1, 0.5 + LEVEL / 2) * _standard_error(x - mean, clusters)
    return Estimate(float(mean), float(mean - half), float(mean + half), len(x))


def difference_of_means(a: Sequence[float], b: Sequence[float], of_a: Sequence[str], of_b: Sequence[str]) -> Estimate:
    """Mean of ``a`` less mean of ``b``, two sets of items of the same clusters, with Student's interval over clusters.

    Args:
        a, b: values; they need not be as many.
        of_a, of_b: the cluster of each item.

    Raises:
        ValueError: there are no items in one of them, or fewer than two clusters.
    """
    if not len(a) or not len(b):
        raise ValueError("no items")
    x, y = np.asarray(a, float), np.asarray(b, float)
    clusters = [*of_a, *of_b]
    count = len(set(clusters))
    if count < 2:
        raise ValueError(f"{count} clusters")
    total = len(x) + len(y)
    # Scaled so that the mean over all items is the difference of the two means.
    influence = np.concatenate([(x - x.mean()) * total / len(x), -(y - y.mean()) * total / len(y)])
    difference = x.mean() - y.mean()
    half = stdtrit(count - 1, 0.5 + LEVEL / 2) * _standard_error(influence, clusters)
    return Estimate(float(difference), float(difference - half), float(difference + half), total)


def _standard_error(residuals: np.ndarray, clusters: Sequence[str]) -> float:
    """Clustered standard error of a mean; 0 if there is one cluster."""
    _, of = np.unique(np.asarray(clusters), return_inverse=True)
    sums = np.bincount(of, weights=residuals)
    count = len(sums)
    return float(np.sqrt((sums**2).sum() * count / (count - 1)) / len(residuals)) if count > 1 else 0.0
