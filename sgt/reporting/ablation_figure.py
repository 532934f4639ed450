"""The figure of mean ablations: what is lost of each arm's gain with the layers that moved, and with others."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sgt.reporting.ablations import MOVED, NO_GAIN, OTHER
from sgt.reporting.style import REFERENCE, ZERO, looks_of

# The gain, the layers that moved and the other sets stand side by side, within so much of an arm's place.
SPREAD = 0.6


def ablation_figure(rows: pd.DataFrame, titles: Mapping[str, str]) -> Figure:
    """A panel per model and metric.

    Args:
        rows: of one analysis and of the metrics to show, see :func:`sgt.reporting.ablations.ablations_of`.
        titles: of the metrics.
    """
    models, metrics = list(dict.fromkeys(rows["model"])), list(dict.fromkeys(rows["metric"]))
    arms = list(dict.fromkeys(rows["arm"]))
    looks = looks_of(arms)
    size = 1.2 + (1.4 + 0.9 * len(arms)) * len(metrics), 0.6 + 2.9 * len(models)
    figure, axes = plt.subplots(len(models), len(metrics), figsize=size, squeeze=False, layout="constrained")
    for model, of_model in zip(models, axes, strict=True):
        for metric, axis in zip(metrics, of_model, strict=True):
            chosen = rows[(rows["model"] == model) & (rows["metric"] == metric)]
            for place, arm in enumerate(arms):
                _draw(axis, chosen[chosen["arm"] == arm], place, looks[arm].colour)
            axis.axhline(0, color=ZERO, lw=0.8)
            axis.set_xticks(range(len(arms)), arms)
            axis.set_title(f"{model}: {titles[metric]}")
            axis.margins(y=0.2)
    handles = dict(pair[::-1] for pair in zip(*axes[0][0].get_legend_handles_labels(), strict=True))
    figure.legend(handles.values(), handles, ncols=3, loc="outside lower center")
    return figure


def _draw(axis: Axes, rows: pd.DataFrame, place: int, colour: str) -> None:
    if rows.empty:
        return
    moved, others = rows[rows["set"] == MOVED], rows[rows["set"] == OTHER]
    places = [place + SPREAD * ((number + 0.5) / (2 + len(others)) - 0.5) for number in range(2 + len(others))]
    points = (
        (moved, "gain", places[:1], colour, "s", "gain over the control"),
        (moved, "lost", places[1:2], colour, "^", "lost with the layers that moved most"),
        (others, "lost", places[2:], REFERENCE, "o", "lost with as many others"),
    )
    # Hollow: the arm did not learn its task.
    face = "white" if rows["administered"].isin([False]).any() else None
    for chosen, column, at, own, mark, label in points:
        value = chosen[column]
        errors = [value - chosen[f"{column}_low"], chosen[f"{column}_high"] - value]
        axis.errorbar(at, value, yerr=errors, ms=4, lw=1.1, label=label, color=own, fmt=mark, mfc=face or own)
    if (moved["note"] == NO_GAIN).all():
        where = axis.get_xaxis_transform()
        axis.text(place, 0.99, NO_GAIN.replace(" to ", "\nto "), transform=where, ha="center", va="top", fontsize=7)
