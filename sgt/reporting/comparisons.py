"""What findings compare: metrics, groups of arms, and their differences on the same items and seeds."""

from collections.abc import Iterable, Iterator

import numpy as np

from sgt.config.study import ARM_WITHOUT_PROXY, ARM_WITHOUT_TRAINING
from sgt.evaluation.metrics import Metric
from sgt.evaluation.statistics import Difference, difference_of_means
from sgt.evaluation.treatment import MIN_USE
from sgt.reporting.scores import Scores, interval
from sgt.reporting.verdicts import direction

# The abilities that the paper's claims distinguish.
PERCEPTION, REASONING = "perception", "reasoning"
LESS_HARM = "below the base, so this is less harm, not help"
PLACE = {1: "above the control", -1: "below the control", 0: "not seen to differ from the control"}


def headline_metrics(scores: Scores) -> Iterator[tuple[str, Metric, str]]:
    """Benchmark, metric and title of everything that sums a benchmark up."""
    pairs = [(name, metric) for name in scores.study.benchmarks for metric in scores.headlines(name)]
    titles = scores.titles((name, metric.name) for name, metric in pairs)
    for name, metric in pairs:
        yield name, metric, titles[name, metric.name]


def proxies_of(scores: Scores, level: str | None = None) -> list[str]:
    """The proxy arms, of one level if one is given, at the study's own ratio and images if it has such."""
    arms = scores.study.proxy_arms
    own = [arm for arm in arms if arm not in scores.study.study.variants] or arms
    return [arm for arm in own if level in (None, scores.study.proxy(arm).level)]


def administered(scores: Scores, model: str, arms: Iterable[str]) -> list[str]:
    """Those of some proxy arms that learned their task: claims are about these alone."""
    return [arm for arm in arms if scores.administered(model, arm)]


def not_administered(scores: Scores, model: str, arms: Iterable[str]) -> str:
    """Those of some proxy arms that did not learn their task, with what was measured; empty if there are none."""
    uses = {arm: scores.treatments[model, arm].use for arm in arms if not scores.administered(model, arm)}
    texts = [f"{arm} has a use of {interval(use.value, use.low, use.high)}" for arm, use in uses.items()]
    return f"{', '.join(texts)}; {MIN_USE} is needed" if texts else ""


def controls_besides(scores: Scores) -> list[str]:
    """The trained arms without a proxy besides the control."""
    others = {ARM_WITHOUT_TRAINING, ARM_WITHOUT_PROXY, *scores.study.proxy_arms}
    return [arm for arm in scores.study.study.arms if arm not in others]


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
    """Which administered proxy arms are above and below the control, in words. One seed ranks none of them."""
    arms = administered(scores, model, scores.study.proxy_arms)
    gains = {arm: scores.over_control(model, arm, benchmark, metric) for arm in arms}
    above, below, neither = ([arm for arm, gain in gains.items() if direction(gain) == sign] for sign in (1, -1, 0))
    if len(gains) == 1:
        ((arm, gain),) = gains.items()
        return f"{arm} is {PLACE[direction(gain)]}"
    highest = max(gains, key=lambda arm: gains[arm].value)
    ranked = len(scores.study.study.seeds) > 1
    whole = "every proxy" if len(arms) == len(scores.study.proxy_arms) else "every administered proxy"
    if len(above) == len(gains):
        return f"{whole} is above the control{f'; {highest} most' if ranked else ''}"
    if len(below) == len(gains):
        return f"{whole} is below the control{f'; {highest} least' if ranked else ''}"
    if len(neither) == len(gains):
        return "no proxy is seen to differ from the control"
    parts = {1: above, -1: below, 0: neither}
    return "; ".join(f"{PLACE[sign]}: {', '.join(names)}" for sign, names in parts.items() if names)


def difference(
    scores: Scores, model: str, benchmark: str, metric: Metric, arms: list[str], others: list[str]
) -> Difference:
    """The mean of some arms less that of others, on the same items and seeds."""
    of_arms, of_others = ([(model, arm) for arm in group] for group in (arms, others))
    return scores.difference(of_arms, of_others, benchmark, metric)


def is_less_harm(scores: Scores, model: str, benchmark: str, metric: Metric, arms: list[str]) -> bool:
    """Whether the mean of some arms is above the control and yet below the base: less harm, not help."""
    if ARM_WITHOUT_TRAINING not in scores.study.study.arms:
        return False
    over = {
        other: direction(helped(metric, difference(scores, model, benchmark, metric, arms, [other])))
        for other in (ARM_WITHOUT_PROXY, ARM_WITHOUT_TRAINING)
    }
    return over[ARM_WITHOUT_PROXY] > 0 > over[ARM_WITHOUT_TRAINING]


def helped(metric: Metric, gain: Difference) -> Difference:
    """A difference as help: above zero where the metric changed for the better."""
    return gain if metric.higher_is_better else -gain


def difference_of_gains(
    scores: Scores, model: str, benchmark: str, metrics: tuple[Metric, Metric], arm: str
) -> Difference:
    """The gain of an arm over the control by one metric less that by another, each turned so that more is better."""
    (a, of_a), (b, of_b) = (_gains_by_item(scores, model, benchmark, metric, arm) for metric in metrics)
    return difference_of_means(a, b, of_a, of_b)


def _gains_by_item(
    scores: Scores, model: str, benchmark: str, metric: Metric, arm: str
) -> tuple[np.ndarray, list[str]]:
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
