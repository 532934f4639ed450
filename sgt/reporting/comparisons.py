"""What findings compare: metrics, groups of arms, and their differences on the same items and seeds."""

from collections.abc import Iterator

import numpy as np

from sgt.config.study import ARM_WITHOUT_PROXY
from sgt.evaluation.statistics import Difference, paired_difference
from sgt.reporting.scores import Scores
from sgt.reporting.verdicts import direction

PERCEPTION, REASONING = "accuracy/perception", "accuracy/reasoning"
PLACE = {1: "above the control", -1: "below the control", 0: "not seen to differ from the control"}


def headline_metrics(scores: Scores) -> Iterator[tuple[str, str, str]]:
    """Benchmark, metric and title of everything that sums a benchmark up."""
    pairs = [(name, metric) for name in scores.study.benchmarks for metric in scores.headlines(name)]
    for (name, metric), title in scores.titles(pairs).items():
        yield name, metric, title


def proxy_tasks(scores: Scores, level: str | None = None) -> list[str]:
    """The proxy arms, of one level if one is given, at the study's own ratio and images if it has such."""
    arms = scores.study.proxy_arms
    own = [arm for arm in arms if arm not in scores.study.study.variants] or arms
    return [arm for arm in own if level in (None, scores.study.proxy(arm).level)]


def with_both_kinds(scores: Scores) -> list[str]:
    """The benchmarks that ask questions of perception and of reasoning."""
    return [name for name in scores.study.benchmarks if {PERCEPTION, REASONING} <= set(scores.metrics(name))]


def against_control(scores: Scores, model: str, benchmark: str, metric: str) -> str:
    """Which proxy arms are above and below the control, in words."""
    gains = {arm: scores.gain(model, arm, benchmark, metric) for arm in scores.study.proxy_arms}
    above, below, neither = ([arm for arm, gain in gains.items() if direction(gain) == sign] for sign in (1, -1, 0))
    if len(gains) == 1:
        ((arm, gain),) = gains.items()
        return f"{arm} is {PLACE[direction(gain)]}"
    highest = max(gains, key=lambda arm: gains[arm].value)
    if len(above) == len(gains):
        return f"every proxy is above the control; {highest} most"
    if len(below) == len(gains):
        return f"every proxy is below the control; {highest} least"
    if len(neither) == len(gains):
        return "no proxy is seen to differ from the control"
    parts = {1: above, -1: below, 0: neither}
    return "; ".join(f"{PLACE[sign]}: {', '.join(names)}" for sign, names in parts.items() if names)


def difference(
    scores: Scores, model: str, benchmark: str, metric: str, arms: list[str], others: list[str]
) -> Difference:
    """The mean of some arms less that of others, on the same items and seeds."""
    a, b = (
        np.mean([scores.items(model, arm, benchmark, metric).values for arm in group], axis=0)
        for group in (arms, others)
    )
    return paired_difference(a, b, scores.items(model, arms[0], benchmark, metric).keys)


def gained(scores: Scores, model: str, benchmark: str, metric: str, arm: str) -> tuple[np.ndarray, list[str]]:
    """Gain over the control per seed and item, and the image of each item."""
    treated, control = (scores.items(model, each, benchmark, metric) for each in (arm, ARM_WITHOUT_PROXY))
    return treated.values - control.values, treated.keys


def have_intervals(*estimates: Difference) -> bool:
    """Whether every one of these can be tested."""
    return not any(np.isnan(estimate.low) for estimate in estimates)


def why_unseen(title: str, *estimates: Difference) -> str:
    """Why a difference was not seen."""
    if any(np.isnan(estimate.value) for estimate in estimates):
        return f"a run has no value of {title}"
    if not have_intervals(*estimates):
        return "all items are of one image, so there is no interval"
    return "no difference is seen"
