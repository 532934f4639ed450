"""Intervals: known values, and that they cover what they say they cover."""

import numpy as np
import pytest
from scipy import stats

from sgt.evaluation.statistics import difference_of_means, paired_difference, proportion


def test_independent_items_have_wilsons_interval():
    values = [1] * 30 + [0] * 10
    found = proportion(values, [str(i) for i in range(40)])
    known = stats.binomtest(30, 40).proportion_ci(method="wilson")
    # The clustered variance has C / (C - 1) in it, so the effective sample is one smaller.
    assert (found.value, found.n) == (0.75, 40)
    assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=0.003)


def test_a_cluster_of_copies_counts_once():
    values, clusters = [1, 0, 1, 1, 0, 1, 0, 1], list("abcdefgh")
    once = proportion(values, clusters)
    copied = proportion(np.repeat(values, 50), np.repeat(clusters, 50))
    assert (copied.low, copied.high) == pytest.approx((once.low, once.high), abs=1e-9)


def test_all_right_is_not_certain():
    found = proportion([1] * 50, [str(i // 5) for i in range(50)])
    assert found.value == 1.0 and found.low == pytest.approx(1 / (1 + stats.norm.ppf(0.975) ** 2 / 10))
    assert found.high == 1.0


def test_paired_difference_is_students_over_clusters():
    a, b = np.array([1, 1, 0, 1, 1, 1.0]), np.array([0, 1, 0, 0, 1, 0.0])
    found = paired_difference(a, b, list("abcdef"))
    known = stats.ttest_rel(a, b).confidence_interval(0.95)
    # Student's divides by n - 1 where the clustered error has C / (C - 1) / n: the same.
    assert (found.low, found.high) == pytest.approx((known.low, known.high))


@pytest.mark.parametrize("method", ["proportion", "paired", "unpaired"])
def test_intervals_cover_the_truth_nineteen_times_in_twenty(method):
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(1000):
        clusters = np.repeat(np.arange(60), 6)
        skill = rng.normal(0, 0.15, 60)[clusters]
        a, b = (rng.random(360) < np.clip(p + skill, 0, 1) for p in (0.6, 0.5))
        if method == "proportion":
            found, truth = proportion(a, clusters), 0.6
        elif method == "paired":
            found, truth = paired_difference(a, b, clusters), 0.1
        else:
            # Two kinds of question about the same images.
            kind = np.tile([0, 0, 1], 120).astype(bool)
            found = difference_of_means(a[kind], b[~kind], clusters[kind], clusters[~kind])
            truth = 0.1
        covered += found.low <= truth <= found.high
    assert 0.93 < covered / 1000 < 0.975


def test_nothing_to_average_is_an_error():
    for broken in (
        lambda: proportion([], []),
        lambda: paired_difference([1, 0], [0, 0], ["a", "a"]),
        lambda: difference_of_means([], [1], [], ["a"]),
        lambda: difference_of_means([1], [0], ["a"], ["a"]),
    ):
        with pytest.raises(ValueError, match=r"no items|1 clusters"):
            broken()
