"""Intervals: known values, and that they cover what they say they cover."""

import numpy as np
import pytest
from scipy import stats

from sgt.evaluation.statistics import difference_of_means, paired_difference, proportion, unbounded_mean


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


@pytest.mark.parametrize("value", [0.1, 0.3, 0.7, 1 - 2**-52])
def test_equal_values_that_binary_floats_round_count_as_many_as_there_are_clusters(value):
    clusters = [str(i // 3) for i in range(90)]
    found, size = proportion([value] * 90, clusters), 30
    known = stats.binomtest(round(value * size), size).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((known.low, known.high))


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


def test_the_mean_of_nothing_is_not_known():
    for found in (
        proportion([], []),
        unbounded_mean([], []),
        paired_difference([[], []], [[], []], []),
        difference_of_means([], [1], [], ["a"]),
    ):
        assert np.isnan([found.value, found.low, found.high]).all() and found.n == 0


def test_a_mean_of_any_size_has_students_interval():
    values = -np.random.default_rng(0).exponential(size=40)
    found = unbounded_mean(values, [str(i) for i in range(40)])
    known = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.value, found.n) == (pytest.approx(values.mean()), 40)
    assert (found.low, found.high) == pytest.approx((known.low, known.high))


def test_items_of_one_cluster_have_a_difference_but_no_interval():
    for found in (
        paired_difference([1, 0], [0, 0], ["a", "a"]),
        paired_difference([[1, 0], [1, 1]], [[0, 0]], ["a", "a"]),
        difference_of_means([1, 0], [0], ["a", "a"], ["a"]),
    ):
        assert found.value in (0.5, 0.75) and np.isnan([found.low, found.high, found.detectable]).all()


def test_a_missing_value_leaves_no_value():
    for found in (
        proportion([1, 0, np.nan], list("abc")),
        paired_difference([1, np.nan], [0, 0], ["a", "b"]),
        paired_difference([[1, 0], [1, np.nan]], [[0, 0]], ["a", "b"]),
    ):
        assert np.isnan([found.value, found.low, found.high]).all()


def test_with_one_seed_the_interval_is_over_items_alone():
    a, b, clusters = [1, 1, 0, 1, 0, 1], [0, 1, 0, 0, 1, 0], list("aabbcc")
    found = paired_difference([a], [b], clusters)
    # By hand: differences 1 0 | 0 1 | -1 1, their mean 1/3, residual sums per cluster 1/3, 1/3, -2/3.
    error = np.sqrt((1 / 9 + 1 / 9 + 4 / 9) * 3 / 2) / 6
    assert found.seeds == 1 and found.value == pytest.approx(1 / 3)
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, 2) * error)
    assert found == paired_difference(a, b, clusters)


def test_where_items_agree_the_interval_is_students_over_seeds():
    of_seeds = np.array([0.1, 0.3, 0.25])
    # Clusters of different sizes, which a difference between seeds must not make differ.
    found = paired_difference(np.repeat(of_seeds[:, None], 5, axis=1), np.zeros((1, 5)), list("aabcc"))
    known = stats.ttest_1samp(of_seeds, 0).confidence_interval(0.95)
    assert (found.value, found.low, found.high) == pytest.approx((of_seeds.mean(), known.low, known.high))
    assert found.seeds == 3


def test_where_seeds_agree_the_interval_is_that_of_one():
    a, clusters = np.array([1, 0, 1, 1, 0, 1]), list("aabbcc")
    once, thrice = (paired_difference([a] * seeds, np.zeros((seeds, 6)), clusters) for seeds in (1, 3))
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high))


def test_seeds_and_items_by_hand():
    # Means of seeds 2 and 4, of items 1, 3 and 5, so mean squares 6 and 8; what is left is ±1, four times.
    found = paired_difference([[1, 2, 3], [1, 4, 7]], np.zeros((1, 3)), list("abc"))
    rest = 4 / 2
    a, b = 6 / 6, (8 - rest) / 6
    freedom = (a + b) ** 2 / (a**2 / 1 + b**2 / 2)
    assert found.value == 3
    assert found.high - 3 == pytest.approx(stats.t.ppf(0.975, freedom) * np.sqrt(a + b))
    quantiles = stats.t.ppf(0.975, freedom) + stats.t.ppf(0.8, freedom)
    assert found.detectable == pytest.approx(quantiles * np.sqrt(a + b))


def test_many_seeds_and_items_spread_as_they_do_when_both_are_drawn_again():
    """The pigeonhole bootstrap (Owen 2007), right where there are many of both."""
    rng = np.random.default_rng(0)
    x = rng.normal(0, 0.3, (60, 1)) + rng.normal(0, 0.5, (1, 80)) + rng.normal(0, 0.2, (60, 80))
    found = paired_difference(x, np.zeros((1, 80)), [str(i) for i in range(80)])
    drawn = [x[rng.integers(60, size=60)][:, rng.integers(80, size=80)].mean() for _ in range(4000)]
    assert (found.low, found.high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.015)


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("between_seeds", [0.0, 0.12])
@pytest.mark.parametrize("method", ["proportion", "paired", "unpaired"])
def test_intervals_over_seeds_and_items_cover_the_truth_at_least_as_often_as_they_say(method, between_seeds, seeds):
    rng = np.random.default_rng(seeds)
    clusters = np.repeat(np.arange(40), 3)
    covered, of_items_alone = 0, 0
    for _ in range(400):
        skill = rng.normal(0, 0.1, 40)[clusters]
        a, b = (
            (rng.random((seeds, 120)) < p + skill + rng.normal(0, between_seeds, (seeds, 1))).astype(float)
            for p in (0.6, 0.5)
        )
        if method == "proportion":
            found, truth = proportion(a, clusters), 0.6
            alone = proportion(a.mean(axis=0), clusters)
        elif method == "paired":
            found, truth = paired_difference(a, b, clusters), 0.1
            alone = paired_difference(a.mean(axis=0), b.mean(axis=0), clusters)
        else:
            kind = np.tile([0, 0, 1], 40).astype(bool)
            found, truth = difference_of_means(a[:, kind], b[:, ~kind], clusters[kind], clusters[~kind]), 0.1
            alone = difference_of_means(a[:, kind].mean(0), b[:, ~kind].mean(0), clusters[kind], clusters[~kind])
        covered += found.low <= truth <= found.high
        of_items_alone += alone.low <= truth <= alone.high
    assert covered / 400 > 0.94
    if between_seeds:
        # What the interval over items alone leaves out.
        assert of_items_alone / 400 < 0.9
