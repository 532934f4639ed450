"""What each metric is, in words: from its own fields, and from what its task states of the columns."""

from collections.abc import Mapping

from sgt.evaluation.metrics import Metric
from sgt.evaluation.tasks import TASKS
from sgt.reporting.scores import Scores


def explanation(scores: Scores, benchmark: str, metric: Metric) -> str:
    """What a metric of a benchmark is, in a phrase; empty if its task states nothing of its column."""
    return explained(TASKS[scores.study.benchmarks[benchmark].task].explanations, metric)


def explained(columns: Mapping[str, str], metric: Metric) -> str:
    """The same from what a task states of its columns; of a ratio, ``column/over`` may be stated by itself."""
    ratio = f"{metric.column}/{metric.over}"
    if ratio not in columns and metric.column not in columns:
        return ""
    parts = [columns[ratio if ratio in columns else metric.column]]
    for column, values in metric.where.items():
        parts.append(f"{columns.get(column, column.replace('_', ' '))}: {', '.join(_plain(each) for each in values)}")
    if metric.strata:
        weighted = "weighted mean" if metric.weights else "mean"
        parts.append(f"{weighted} over each {columns.get(metric.strata, metric.strata.replace('_', ' '))}")
    if metric.group:
        parts.append(f"a {metric.group} counts as its lowest")
    if not metric.higher_is_better:
        parts.append("lower is better")
    return "; ".join(parts)


def _plain(value: str) -> str:
    return str(value).replace("_", " ")
