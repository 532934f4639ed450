"""What the numbers say about the paper's claims, worked out from the scores and never written by hand."""

from dataclasses import dataclass

import numpy as np

from sgt.evaluation.statistics import Estimate, difference_of_means, paired_difference
from sgt.reporting.scores import Scores, short
from sgt.study.schema import ARM_WITHOUT_PROXY, ARM_WITHOUT_TRAINING

PERCEPTION, REASONING = "accuracy/perception", "accuracy/reasoning"


@dataclass(frozen=True)
class Finding:
    """One claim, or check, and what this study measured.

    Attributes:
        claim: what would be so.
        verdict: ``supported``, ``contradicted``, ``not decided`` (the interval holds zero).
        numbers: what was measured, with intervals.
    """

    claim: str
    verdict: str
    numbers: str


def findings(scores: Scores) -> list[Finding]:
    """Every finding that the study's arms and benchmarks allow, model by model."""
    found = []
    for model in scores.study.study.models:
        found += [*_base_learnt(scores, model), *_levels(scores, model), *_perception(scores, model)]
    return found


def _base_learnt(scores: Scores, model: str) -> list[Finding]:
    """The base answers each kind of perception question better than its form allows."""
    cells = scores.cells
    base = cells[(cells["model"] == model) & (cells["arm"] == ARM_WITHOUT_TRAINING)]
    found = []
    for name, spec in scores.study.benchmarks.items():
        kinds = [f"accuracy/{kind}" for kind in spec.groups.get("perception", [])]
        rows = base[(base["benchmark"] == name) & base["metric"].isin(kinds)]
        if rows.empty:
            continue
        below = rows[rows["low"] <= rows["chance"]]
        told = ", ".join(
            f"{short(row.metric)} {row.value:.3f} [{row.low:.3f}, {row.high:.3f}] (chance {row.chance:.3f})"
            for row in rows.itertuples()
        )
        verdict = "supported" if below.empty else f"not for {', '.join(short(metric) for metric in below['metric'])}"
        found.append(Finding(f"{model}: the base answers every kind of perception above chance", verdict, told))
    return found


def _tasks(scores: Scores) -> list[str]:
    """The proxy arms at the study's own ratio and images."""
    return [arm for arm in scores.study.proxy_arms if arm not in scores.study.study.variants]


def _levels(scores: Scores, model: str) -> list[Finding]:
    """The paper's order: a high-level proxy helps more than the mean of the low-level ones."""
    arms = _tasks(scores)
    high, low = ([arm for arm in arms if scores.study.proxy(arm).level == level] for level in ("high", "low"))
    if not high or not low:
        return []
    found = []
    for benchmark in scores.study.benchmarks:
        for metric in scores.headlines(benchmark):
            if metric == REASONING:
                continue
            one, other = (_mean_items(scores, model, group, benchmark, metric) for group in (high, low))
            keys = scores.items(model, high[0], benchmark, metric).keys
            estimate = paired_difference(one, other, keys)
            claim = f"{model}: high-level proxies help {short(metric)} more than low-level ones"
            numbers = f"{', '.join(high)} less the mean of {', '.join(low)}: {_told(estimate)}"
            found.append(Finding(claim, _verdict(estimate), numbers))
    return found


def _perception(scores: Scores, model: str) -> list[Finding]:
    """The high-level proxy's gain is in perception rather than in reasoning."""
    high = [arm for arm in _tasks(scores) if scores.study.proxy(arm).level == "high"]
    if not high or ARM_WITHOUT_PROXY not in scores.study.study.arms:
        return []
    found = []
    for name in scores.study.benchmarks:
        if not {PERCEPTION, REASONING} <= set(scores.metrics(name)):
            continue
        for arm in high:
            gains = []
            for metric in (PERCEPTION, REASONING):
                treated, control = (scores.items(model, a, name, metric) for a in (arm, ARM_WITHOUT_PROXY))
                gains.append((treated.values - control.values, treated.keys))
            estimate = difference_of_means(gains[0][0], gains[1][0], gains[0][1], gains[1][1])
            each = [scores.gain(model, arm, name, metric) for metric in (PERCEPTION, REASONING)]
            numbers = (
                f"gain over sft in perception {_told(each[0])}, in reasoning {_told(each[1])}, "
                f"difference {_told(estimate)}"
            )
            claim = f"{model}: {arm} helps perception more than reasoning"
            found.append(Finding(claim, _verdict(estimate), numbers))
    return found


def _mean_items(scores: Scores, model: str, arms: list[str], benchmark: str, metric: str) -> np.ndarray:
    return np.mean([scores.items(model, arm, benchmark, metric).values for arm in arms], axis=0)


def _verdict(estimate: Estimate) -> str:
    if estimate.low > 0:
        return "supported"
    return "contradicted" if estimate.high < 0 else "not decided"


def _told(estimate: Estimate) -> str:
    return f"{estimate.value:+.3f} [{estimate.low:+.3f}, {estimate.high:+.3f}]"
