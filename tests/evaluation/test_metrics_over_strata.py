"""Ratios and weighted means over strata: their values, and that their intervals are those of a cluster bootstrap.

The bootstrap draws images with replacement and works the published formula out anew each time, which is what the
analytic intervals stand for. Both metrics are the headlines of the benchmarks that print them.
"""

import numpy as np
import pytest

from sgt.evaluation.metrics import Metric, items_of, shared_items, stacked, summary
from sgt.evaluation.statistics import paired_difference
from tests.evaluation.tasks.published import task

RESAMPLES = 10_000
# Of an interval's width. The quantiles of so many draws vary by 0.7 percent; Wilson's interval leans towards one half.
TOLERANCE = 0.04
# Rows per source of CV-Bench, and how often they are right.
SOURCES = {"ADE20K": (633, 0.62), "COCO": (805, 0.74), "Omni3D": (1200, 0.8)}
# How often POPE's splits are answered yes about things that are not there.
SPLITS = {"random": 0.05, "popular": 0.12, "adversarial": 0.2}


def test_a_ratio_is_of_the_sums():
    columns = {"id": list("abcd"), "above": [2, 0, 2, 0], "below": [2, 1, 2, 1]}
    found = summary(Metric("f1", "F1", "above", over="below"), columns)
    assert found["value"] == pytest.approx(4 / 6) and found["n"] == 4


def test_strata_weigh_alike_whatever_their_size():
    columns = {"id": list("abcdef"), "right": [1, 1, 1, 0, 0, 1], "part": list("xxxxyy")}
    assert summary(Metric("m", "m", "right", strata="part"), columns)["value"] == pytest.approx((3 / 4 + 1 / 2) / 2)


def test_strata_weigh_what_they_are_said_to():
    columns = {"id": list("abcdef"), "right": [1, 1, 1, 0, 0, 1], "part": list("xxxxyy")}
    metric = Metric("m", "m", "right", strata="part", weights={"x": 3, "y": 1})
    assert summary(metric, columns)["value"] == pytest.approx(3 / 4 * 3 / 4 + 1 / 4 * 1 / 2)
    # Of the rows that count, or a stratum that has a weight has none.
    of_some = Metric("m", "m", "right", {"id": list("aef")}, strata="part", weights={"x": 3, "y": 1})
    assert summary(of_some, columns)["value"] == pytest.approx(3 / 4 + 1 / 4 * 1 / 2)
    assert summary(Metric("m", "m", "right", strata="part", weights={"x": 1, "y": 1, "z": 1}), columns) is None


def test_a_mean_of_ratios_is_not_the_ratio_of_the_sums():
    columns = {"id": list("abcd"), "above": [1, 3, 1, 0], "below": [2, 4, 1, 1], "part": list("xxyy")}
    found = summary(Metric("m", "m", "above", over="below", strata="part"), columns)
    assert found["value"] == pytest.approx((4 / 6 + 1 / 2) / 2)


def test_one_stratum_is_a_mean():
    columns = {"id": list("abcd"), "right": [1, 0, 1, 1], "part": ["x"] * 4, "image": list("iijj")}
    plain = Metric("m", "m", "right", cluster="image")
    assert summary(Metric("m", "m", "right", strata="part", cluster="image"), columns) == summary(plain, columns)


def sums(run: dict[str, list], part: str, value: str, column: str | None, images: list[str]) -> np.ndarray:
    """What each image adds to the sum of a column, or to the count of rows, in one part."""
    place = {image: number for number, image in enumerate(images)}
    found = np.zeros(len(images))
    for row, image in enumerate(run["image"]):
        if run[part][row] == value:
            found[place[image]] += 1 if column is None else run[column][row]
    return found


def drawn(count: int, rng: np.random.Generator) -> np.ndarray:
    """How often each of some images is drawn, RESAMPLES × images."""
    return rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES).astype(float)


def drawn_cv_bench(runs: list[dict[str, list]]) -> np.ndarray:
    """½ (½ (ADE20K + COCO) + Omni3D) of each run, RESAMPLES × runs: images are drawn within their source."""
    rng, of_source = np.random.default_rng(1), {}
    for source in SOURCES:
        images = sorted({image for image in runs[0]["image"] if image.startswith(source)})
        times = drawn(len(images), rng)
        parts = [[times @ sums(run, "source", source, name, images) for name in ("accuracy", None)] for run in runs]
        of_source[source] = np.stack([right / rows for right, rows in parts], axis=1)
    return ((of_source["ADE20K"] + of_source["COCO"]) / 2 + of_source["Omni3D"]) / 2


def drawn_pope(runs: list[dict[str, list]]) -> np.ndarray:
    """The mean of three F1 of each run, RESAMPLES × runs: an image is drawn with its questions of all splits."""
    images = sorted(set(runs[0]["image"]))
    times, columns = drawn(len(images), np.random.default_rng(1)), ("twice_true_yes", "yeses")
    parts = [
        [[times @ sums(run, "split", split, name, images) for name in columns] for split in SPLITS] for run in runs
    ]
    return np.stack([np.mean([above / below for above, below in of_run], axis=0) for of_run in parts], axis=1)


@pytest.fixture(scope="module")
def cv_bench():
    """Two runs, the second a little better; of two rows about one image, both tend to be right."""
    rng = np.random.default_rng(0)
    runs: list[dict[str, list]] = [{"id": [], "source": [], "image": [], "accuracy": []} for _ in range(2)]
    for source, (count, chance) in SOURCES.items():
        image = np.sort(rng.integers(count // 2, size=count))
        ease = rng.normal(0, 0.2, count // 2)[image] + rng.normal(0, 0.2, count)
        for better, run in enumerate(runs):
            right = rng.random(count) < np.clip(chance + 0.03 * better + ease, 0, 1)
            run["id"] += [f"{source}-{number}" for number in range(count)]
            run["source"] += [source] * count
            run["image"] += [f"{source}/{number}" for number in image]
            run["accuracy"] += right.astype(float).tolist()
    return runs, drawn_cv_bench(runs)


@pytest.fixture(scope="module")
def pope():
    """Two runs, the second a little better. What is there is asked about in every split, with the same reply."""
    rng = np.random.default_rng(0)
    names = ("id", "split", "image", "twice_true_yes", "yeses")
    runs: list[dict[str, list]] = [{name: [] for name in names} for _ in range(2)]
    ease = rng.normal(0, 0.1, (500, 1))
    for better, run in enumerate(runs):
        found = rng.random((500, 3)) < 0.85 + ease + 0.01 * better
        for split, wrong in SPLITS.items():
            seen = rng.random((500, 3)) < wrong - ease / 2 - 0.01 * better
            run["id"] += [f"{split}-{number}" for number in range(3000)]
            run["split"] += [split] * 3000
            run["image"] += [str(number // 6) for number in range(3000)]
            run["twice_true_yes"] += np.hstack([2 * found, 0 * seen]).ravel().tolist()
            run["yeses"] += np.hstack([1 + found, seen]).astype(int).ravel().tolist()
    return runs, drawn_pope(runs)


def headline(name: str) -> Metric:
    """What the benchmark's task defines."""
    (metric,) = (each for each in task(name, "paper").metrics([]) if each.headline)
    return metric


@pytest.mark.parametrize("name", ["cv-bench", "pope"])
def test_an_interval_is_that_of_a_cluster_bootstrap(name, request):
    runs, values = request.getfixturevalue(name.replace("-", "_"))
    low, high = np.quantile(values[:, 0], [0.025, 0.975])
    found = summary(headline(name), runs[0])
    assert (found["low"], found["high"]) == pytest.approx((low, high), abs=TOLERANCE * (high - low))


@pytest.mark.parametrize("name", ["cv-bench", "pope"])
def test_the_interval_of_a_paired_difference_is_that_of_a_cluster_bootstrap(name, request):
    runs, values = request.getfixturevalue(name.replace("-", "_"))
    low, high = np.quantile(values[:, 1] - values[:, 0], [0.025, 0.975])
    first, second = (items_of(headline(name), run) for run in runs)
    found = paired_difference(second.values, first.values, first.clusters)
    assert found.value == pytest.approx(second.values.mean() - first.values.mean())
    assert (found.low, found.high) == pytest.approx((low, high), abs=TOLERANCE * (high - low))
    # Runs tend to be right about the same images: unpaired, the interval would be wider.
    unpaired = np.quantile(values[:, 1] - np.random.default_rng(2).permutation(values[:, 0]), [0.025, 0.975])
    assert high - low < 0.95 * (unpaired[1] - unpaired[0])


def test_the_two_headlines_by_hand():
    columns = {
        "id": list("abcdef"),
        "image": list("abcdef"),
        "source": ["ADE20K", "ADE20K", "COCO", "Omni3D", "Omni3D", "Omni3D"],
        "accuracy": [1, 0, 1, 0, 0, 1],
    }
    assert summary(headline("cv-bench"), columns)["value"] == pytest.approx(((1 / 2 + 1) / 2 + 1 / 3) / 2)
    # One true yes each; of the splits 0, 1 and 2 false ones.
    columns = {
        "id": list("abcdef"),
        "image": list("abcdef"),
        "split": ["random", "popular", "popular", "adversarial", "adversarial", "adversarial"],
        "twice_true_yes": [2, 2, 0, 2, 0, 0],
        "yeses": [2, 2, 1, 2, 1, 1],
    }
    assert summary(headline("pope"), columns)["value"] == pytest.approx((1 + 2 / 3 + 2 / 4) / 3)


@pytest.mark.parametrize("count", [18, 20, 21, 23])
def test_all_right_in_any_number_of_strata_is_one(count):
    names = [f"s{number}" for number in range(count)]
    columns = {"id": names, "stratum": names, "right": [1.0] * count}
    found = summary(Metric("score", "score", "right", strata="stratum"), columns)
    assert found is not None and found["value"] <= 1.0 and found["value"] == pytest.approx(1.0)


def judged(ratings: list[float | None]) -> dict[str, list]:
    """Four edits in two groups, and how a judge rated each; None if it refused."""
    return {
        "id": list("abcd"),
        "group": list("xxyy"),
        "score": ratings,
        "judged": ["refused" if rating is None else "ok" for rating in ratings],
    }


def test_runs_that_agree_on_what_both_have_do_not_differ():
    metric = Metric("m", "m", "score", {"judged": ["ok"]}, strata="group", weights={"x": 1, "y": 1}, range=(0, 10))
    refused, rated = (items_of(metric, judged([0.0, rating, 5.0, 5.0])) for rating in (None, 10.0))
    one, other = shared_items([refused, rated])
    assert one.ids == other.ids == list("acd")
    assert one.values == pytest.approx(other.values) and one.values.mean() == pytest.approx((0 + 5) / 2)
    # Of several seeds as well.
    seeds, of_other = shared_items([stacked([refused, refused]), stacked([rated, rated])])
    assert seeds.values.shape == (2, 3) and seeds.values == pytest.approx(of_other.values)
    # A group of which nothing is left leaves no mean.
    (none, _) = shared_items([items_of(metric, judged([None, 1.0, 5.0, 5.0])), refused])
    assert np.isnan(none.values).all()
