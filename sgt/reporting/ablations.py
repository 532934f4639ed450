"""How much of an arm's gain over the control goes with layers in which what text reads from images is ablated.

The gain is that of the arm over the control on the same questions. With the same layers ablated in both, another gain
remains; what is lost of it goes with these layers. The same is worked out for sets of as many other layers.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from sgt.analysis.ablation import INTACT, name_of
from sgt.analysis.ablation_record import items_in
from sgt.analysis.analyse import read_findings
from sgt.config.study import ARM_WITHOUT_PROXY
from sgt.evaluation.metrics import Items, Metric, items_of, shared_items, stacked
from sgt.evaluation.statistics import Difference, paired_difference
from sgt.reporting.comparisons import have_intervals, helped
from sgt.reporting.contents import analyses_of
from sgt.reporting.scores import Scores
from sgt.reporting.transplants import UNKNOWN, share_moved

# Which layers a row is about: those whose attention moved most, one set of others, and the mean of all such sets.
MOVED, OTHER, OTHERS = "moved", "other", "mean of others"
NO_GAIN = "no gain to explain"


def ablations_of(scores: Scores) -> pd.DataFrame:
    """One row per analysis, model, arm, metric and set of layers, and one for the mean of the sets of other layers.

    Columns: ``analysis``, ``model``, ``arm``, ``administered``, ``benchmark``, ``metric``, ``headline``, ``set``
    (``moved``, ``other`` or ``mean of others``), ``layers`` (indexes), ``seeds``, ``n`` (items); ``gain`` over the
    control with nothing ablated; ``cost`` and ``cost_of_control``, what the ablation takes from the arm and from the
    control; ``lost``, how much smaller the gain is when both are ablated; ``beyond``, that of the layers that moved
    less the mean of the others'; each with ``_low`` and ``_high`` (95%); ``share`` of the gain that is lost, where a
    gain is seen, with ``share_low`` and ``share_high``; and ``note``, which says where there is no gain to explain.
    """
    return pd.DataFrame(
        [
            {"analysis": name, "model": model, "arm": arm, **row}
            for name in analyses_of(scores.study, "ablate")
            for model in scores.study.models
            for arm in scores.study.compared_arms(scores.study.analyses[name])
            for row in _rows(scores, name, model, arm)
        ]
    )


def _rows(scores: Scores, name: str, model: str, arm: str) -> Iterator[dict]:
    study, benchmark = scores.study, scores.study.analyses[name].asks or ""
    of_arm, of_control = (
        [read_findings(study, run, name) for run in scores.runs(model, each)] for each in (arm, ARM_WITHOUT_PROXY)
    )
    sets = of_arm[0]["sets"][arm]
    moved, others = name_of(sets["moved"]), [name_of(layers) for layers in sets["others"]]
    about = {"administered": scores.administered(model, arm), "benchmark": benchmark}
    for metric in scores.metrics(benchmark):
        conditions = [INTACT, moved, *others]
        items = shared_items(
            [_items(metric, findings, each) for findings in (of_arm, of_control) for each in conditions]
        )
        if not items[0].ids or np.isnan(items[0].values).any():
            continue
        clusters, values = items[0].clusters, [each.values for each in items]
        arm_values, control_values = values[: len(conditions)], values[len(conditions) :]
        gains = [a - b for a, b in zip(arm_values, control_values, strict=True)]
        gain, lost = gains[0], [gains[0] - each for each in gains[1:]]
        means = [np.mean(each[2:], axis=0) for each in (arm_values, control_values)]
        by_set = [
            (MOVED, moved, arm_values[1], control_values[1], lost[0]),
            *(
                (OTHER, layers, arm_values[place], control_values[place], lost[place - 1])
                for place, layers in enumerate(others, 2)
            ),
            (OTHERS, "", *means, np.mean(lost[1:], axis=0)),
        ]
        for kind, layers, ablated, ablated_control, of_set in by_set:
            yield {
                **about,
                "metric": metric.name,
                "headline": metric.headline,
                "set": kind,
                "layers": layers,
                **_compared(
                    clusters,
                    gain=gain,
                    cost=arm_values[0] - ablated,
                    cost_of_control=control_values[0] - ablated_control,
                    lost=of_set,
                    beyond=lost[0] - np.mean(lost[1:], axis=0) if kind == MOVED else np.full_like(of_set, np.nan),
                ),
                **_share(metric, gain, of_set, clusters),
            }


def _items(metric: Metric, findings: Sequence[dict], condition: str) -> Items:
    """The items of a metric in one condition; values are seeds × items."""
    return stacked(shared_items([items_of(metric, items_in(each, condition)) for each in findings]))


def _compared(clusters: list[str], **values: np.ndarray) -> dict[str, float]:
    """A mean with its interval per name; values are seeds × items."""
    columns: dict[str, float] = {}
    for name, each in values.items():
        found = _mean(each, clusters)
        columns |= {"seeds": found.seeds, "n": found.n} if not columns else {}
        columns |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
    return columns


def _mean(values: np.ndarray, clusters: list[str]) -> Difference:
    return paired_difference(values, np.zeros_like(values), clusters)


def _share(metric: Metric, gain: np.ndarray, lost: np.ndarray, clusters: list[str]) -> dict[str, float | str]:
    whole = helped(metric, _mean(gain, clusters))
    is_seen = have_intervals(whole) and whole.low > 0
    share = share_moved(gain, lost, clusters) if is_seen else UNKNOWN
    note = "" if is_seen else NO_GAIN
    return {"share": share.value, "share_low": share.low, "share_high": share.high, "note": note}
