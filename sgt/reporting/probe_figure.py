"""The figure of the linear probes: what can be read off each layer, by arm."""

from collections.abc import Collection

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from sgt.reporting.probes import probe_rows
from sgt.reporting.style import BAND, Look, handles, looks_of, points
from sgt.study.loaded import LoadedStudy

PANELS_PER_ROW = 4
LOWEST = -0.2


def probes_figure(study: LoadedStudy, not_administered: Collection[tuple[str, str]] = ()) -> Figure:
    """A panel per target, by model: the score of every arm over the layers with its interval, and the controls.

    Args:
        study: has an analysis ``probe``.
        not_administered: models with arms that did not learn their task, which are drawn hollow.
    """
    rows, looks = probe_rows(study), looks_of(study.study.arms)
    panels = list(rows.groupby(["analysis", "model", "target"], sort=False))
    count = -(-len(panels) // PANELS_PER_ROW)
    size = 3.4 * PANELS_PER_ROW, 0.5 + 2.5 * count
    figure, axes = plt.subplots(count, PANELS_PER_ROW, figsize=size, squeeze=False, layout="constrained")
    several = rows["analysis"].nunique() > 1
    for axis, ((analysis, model, target), panel) in zip(axes.flat, panels, strict=False):
        _draw(axis, panel, looks, {arm for of, arm in not_administered if of == model})
        where = f"{model}, {analysis}" if several else model
        axis.set_title(f"{where}: {target}, {panel['metric'].iloc[0]}")
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    band = Patch(color=BAND, label="control")
    figure.legend(handles=[*handles(looks, line=True), band], ncols=len(looks) + 1, loc="outside lower center")
    return figure


def _draw(axis: plt.Axes, panel: pd.DataFrame, looks: dict[str, Look], hollow: Collection[str]) -> None:
    layers = list(dict.fromkeys(panel["layer"]))
    places = np.arange(len(layers))
    arms = list(dict.fromkeys(panel["arm"]))
    for place, arm in enumerate(arms):
        of_arm = panel[panel["arm"] == arm]
        values, low, high = (of_arm[column].to_numpy() for column in ("value", "low", "high"))
        # Side by side, so that intervals do not hide one another.
        at = places + 0.5 * ((place + 0.5) / len(arms) - 0.5)
        yerr = [values - low, high - values]
        points(axis, at, values, looks[arm], arm in hollow, line=True, yerr=yerr, ms=3, lw=0.9, label=arm)
    controls = panel.groupby("layer", sort=False)["control"].agg(["min", "max"])
    axis.fill_between(places, controls["min"], controls["max"], color=BAND, label="control")
    # How far below zero an R² is says nothing, and would flatten the rest.
    axis.set_ylim(bottom=max(min(panel["low"].min(), controls["min"].min()), LOWEST) - 0.02)
    short = {"vision": "v", "connector": "c", "decoder": "d", "conditioning": "t"}
    names = [short[layer.partition(".")[0]] + layer.partition(".")[2] for layer in layers]
    shown = max(1, len(layers) // 14)
    axis.set_xticks(places[::shown], names[::shown], fontsize=7)
    axis.tick_params(axis="y", labelsize=7)
