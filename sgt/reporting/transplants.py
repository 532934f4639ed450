"""How much of the difference between two arms moves with the parts that are transplanted from one into the other."""

import numpy as np
import pandas as pd

from sgt.evaluation.metrics import Metric
from sgt.evaluation.statistics import Difference, Estimate, paired_difference, unbounded_mean
from sgt.reporting.comparisons import have_intervals
from sgt.reporting.scores import Scores

UNKNOWN = Estimate(np.nan, np.nan, np.nan, 0)


def transplants_of(scores: Scores) -> pd.DataFrame:
    """One row per model, transplant and metric.

    Columns: ``model``, ``transplant``, ``into``, ``parts_from``, ``parts``, ``benchmark``, ``metric``, ``headline``,
    ``seeds``, ``n`` (items); ``gain``, ``gain_low``, ``gain_high`` (95%), the arm that the parts are from less the one
    that they are put into; ``moved``, ``moved_low``, ``moved_high``, ``moved_detectable``, the transplant less the
    latter; and ``share``, ``share_low``, ``share_high``, the second over the first, where a gain is seen.
    """
    study = scores.study
    return pd.DataFrame(
        [
            _row(scores, model, name, benchmark, metric)
            for model in study.models
            for name in study.study.transplants
            for benchmark in study.benchmarks
            for metric in scores.metrics(benchmark)
        ]
    )


def _row(scores: Scores, model: str, name: str, benchmark: str, metric: Metric) -> dict:
    about = scores.study.study.transplants[name]
    items = scores.paired_items(model, [about.into, about.parts_from, name], benchmark, metric)
    into, donor, made = (each.values for each in items)
    clusters = items[0].clusters
    gain, moved = (paired_difference(values, into, clusters) for values in (donor, made))
    share = share_moved(donor - into, made - into, clusters) if _is_seen(gain) else UNKNOWN
    return {
        "model": model,
        "transplant": name,
        "into": about.into,
        "parts_from": about.parts_from,
        "parts": " ".join(about.parts),
        "benchmark": benchmark,
        "metric": metric.name,
        "headline": metric.headline,
        "seeds": moved.seeds,
        "n": moved.n,
        "gain": gain.value,
        "gain_low": gain.low,
        "gain_high": gain.high,
        "moved": moved.value,
        "moved_low": moved.low,
        "moved_high": moved.high,
        "moved_detectable": moved.detectable,
        "share": share.value,
        "share_low": share.low,
        "share_high": share.high,
    }


def share_moved(gain: np.ndarray, moved: np.ndarray, clusters: list[str]) -> Estimate:
    """Mean of what moved over the mean gain, with its linearised 95% interval.

    It is known as well as the gain is: where that is hardly seen, the interval is too narrow, and where it is not seen
    the share has no meaning.

    Args:
        gain, moved: differences on the same items, seeds × items; one of them may have one seed alone.
        clusters: of each item.
    """
    ratio = moved.mean() / gain.mean()
    return unbounded_mean(ratio + (moved - ratio * gain) / gain.mean(), clusters)


def _is_seen(gain: Difference) -> bool:
    return have_intervals(gain) and not gain.low <= 0 <= gain.high
