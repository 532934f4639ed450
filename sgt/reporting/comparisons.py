"""What findings compare: metrics, groups of arms, and their differences on the same items and seeds."""

from collections.abc import Iterator

import numpy as np

from sgt.config.study import ARM_WITHOUT_PROXY
from sgt.evaluation.metrics import Metric
from sgt.evaluation.statistics import Difference, paired_difference
from sgt.reporting.scores import Scores
from sgt.reporting.verdicts import direction

# The abilities that the paper's claims distinguish.
PERCEPTION, REASONING = "perception", "reasoning"
PLACE = {1: "above the control", -1: "below the control", 0: "not seen to differ from the control"}


def headline_metrics(scores: Scores) -> Iterator[tuple[str, Metric, str]]:
    """Benchmark, metric and title of everything that sums a benchmark up."""
    pairs = [(name, metric) for name in scores.study.benchmarks for metric in scores.headlines(name)]
    titles = scores.titles((name, metric.name) for name, metric in pairs)
    for name, metric in pairs:
        yield name, metric, titles[name, metric.name]


def proxy_tasks(scores: Scores, level: str | None = None) -> list[str]:
    """The proxy arms, of one level if one is given, at the study's own ratio and images if it has such."""
    arms = scores.study.proxy_arms
    own = [arm for arm in arms if arm not in scores.study.study.variants] or arms
    return [arm for arm in own if level in (None, scores.study.proxy(arm).level)]


def with_both_abilities(scores: Scores) -> dict[str, tuple[Metric, Metric]]:
    """The benchmarks that measure perception and reasoning apart, and the metrics that sum up the two."""
    found = {}
    for name in scores.study.benchmarks:
        perception, reasoning = (_headline_of(scores, name, ability) for ability in (PERCEPTION, REASONING))
        if perception is not None and reasoning is not None:
            found[name] = perception, reasoning
    return found


def _headline_of(scores: Scores, benchmark: str, ability: str) -> Metric | None:
    """The metric that sums up an ability in a benchmark."""
    return next((metric for metric in scores.headlines(benchmark) if ability in metric.abilities), None)


def against_control(scores: Scores, model: str, benchmark: str, metric: Metric) -> str:
    """Which proxy arms are above and below the control, in words."""
    gains = {arm: scores.over_control(model, arm, benchmark, metric) for arm in scores.study.proxy_arms}
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
    scores: Scores, model: str, benchmark: str, metric: Metric, arms: list[str], others: list[str]
) -> Difference:
    """The mean of some arms less that of others, on the same items and seeds."""
    items = scores.paired_items(model, [*arms, *others], benchmark, metric)
    values = [each.values for each in items]
    a, b = (np.mean(group, axis=0) for group in (values[: len(arms)], values[len(arms) :]))
    return paired_difference(a, b, items[0].clusters)


def helped(metric: Metric, gain: Difference) -> Difference:
    """A difference as help: above zero where the metric changed for the better."""
    return gain if metric.higher_is_better else -gain


def gains_by_item(scores: Scores, model: str, benchmark: str, metric: Metric, arm: str) -> tuple[np.ndarray, list[str]]:
    """Gain over the control, seeds × items, turned so that above zero is better, and the cluster of each item."""
    treated, control = scores.paired_items(model, [arm, ARM_WITHOUT_PROXY], benchmark, metric)
    gain = treated.values - control.values
    return gain if metric.higher_is_better else -gain, treated.clusters


def have_intervals(*estimates: Difference) -> bool:
    """Whether every one of these can be tested."""
    return not any(np.isnan(estimate.low) for estimate in estimates)


def why_unseen(title: str, *estimates: Difference) -> str:
    """Why a difference was not seen."""
    if any(np.isnan(estimate.value) for estimate in estimates):
        return f"a run has no value of {title}"
    if not have_intervals(*estimates):
        return "all items are of one cluster, so there is no interval"
    return "no difference is seen"
