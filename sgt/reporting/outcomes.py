"""What each arm changed, kind by kind: the matrix of differences from the control.

One number over all kinds of item hides effects of opposite sign. A benchmark's kinds are its metrics besides those that
sum it up; or these, if it has no others.
"""

import pandas as pd

from sgt.evaluation.metrics import Metric
from sgt.reporting.contents import compared_arms
from sgt.reporting.scores import Scores


def outcomes_of(scores: Scores) -> pd.DataFrame:
    """One row per model, kind and arm other than the control, of a study that has a control.

    Columns: ``model``, ``benchmark``, ``metric`` (name), ``title``, ``unit``, ``higher_is_better``, ``arm``, ``level``
    and ``administered`` (of its proxy), ``seeds``, ``n`` (items); ``difference``, ``low``, ``high`` (95%) from the
    control, and ``detectable``, the smallest difference that would be seen; ``seen``: ``better`` or ``worse`` where the
    interval excludes zero.
    """
    cells = scores.cells[scores.cells["arm"].isin(compared_arms(scores.study))]
    rows = []
    for row in cells.itertuples():
        metric = scores.metric(row.benchmark, row.metric)
        if metric not in kinds(scores, row.benchmark):
            continue
        sign = (int(row.gain_low > 0) - int(row.gain_high < 0)) * (1 if metric.higher_is_better else -1)
        rows.append(
            {
                "model": row.model,
                "benchmark": row.benchmark,
                "metric": metric.name,
                "title": metric.title,
                "unit": metric.unit,
                "higher_is_better": metric.higher_is_better,
                "arm": row.arm,
                "level": row.level,
                "administered": row.administered,
                "seeds": row.seeds,
                "n": row.n,
                "difference": row.gain,
                "low": row.gain_low,
                "high": row.gain_high,
                "detectable": row.detectable,
                "seen": {1: "better", -1: "worse", 0: ""}[sign],
            }
        )
    return pd.DataFrame(rows)


def kinds(scores: Scores, benchmark: str) -> list[Metric]:
    """The metrics of a benchmark's parts; of one without parts, those that sum it up."""
    metrics = scores.metrics(benchmark)
    return [metric for metric in metrics if not metric.headline] or metrics
