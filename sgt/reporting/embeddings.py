"""Two classes that look alike, in two dimensions, beside how well a linear probe tells them apart."""

from collections.abc import Iterator

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sgt.analysis.analyse import read_findings
from sgt.analysis.probe_record import numbers
from sgt.analysis.targets import PAIR
from sgt.reporting.contents import embedding_analyses
from sgt.reporting.probes import probe_rows
from sgt.study.loaded import LoadedStudy

# Of the two classes, by their names: a colour and a marker.
CLASS_LOOKS = (("#0072b2", "o"), ("#d55e00", "^"))


def embedding_rows(study: LoadedStudy) -> pd.DataFrame:
    """One row per object that is embedded, of every run and layer.

    Columns: ``analysis``, ``model``, ``arm``, ``seed``, ``layer``, ``image`` (key), ``class``, ``x``, ``y``.
    """
    return pd.DataFrame(_rows(study))


def _rows(study: LoadedStudy) -> Iterator[dict]:
    for name in embedding_analyses(study):
        for run in study.runs:
            found = read_findings(study, run, name)["pair"]
            classes = [found["classes"][int(place)] for place in numbers(found["which"])]
            for layer, place in found["layers"].items():
                for image, label, x, y in zip(
                    found["image"], classes, numbers(place["x"]), numbers(place["y"]), strict=True
                ):
                    about = {"analysis": name, "model": run.model, "arm": run.arm, "seed": run.seed, "layer": layer}
                    yield {**about, "image": image, "class": label, "x": x, "y": y}


def embeddings_figure(study: LoadedStudy) -> Figure:
    """Of the first analysis with a pair and the first seed: a row per model and layer, a column per arm."""
    rows = embedding_rows(study)
    rows = rows[(rows["analysis"] == rows["analysis"].iloc[0]) & (rows["seed"] == study.study.seeds[0])]
    probes = probe_rows(study)
    probes = probes[(probes["analysis"] == rows["analysis"].iloc[0]) & (probes["target"] == PAIR)]
    probes = probes.set_index(["model", "layer", "arm"])
    places, arms = list(rows.groupby(["model", "layer"], sort=False)), study.study.arms
    size = 2.2 * len(arms), 0.5 + 2.4 * len(places)
    figure, axes = plt.subplots(len(places), len(arms), figsize=size, squeeze=False, layout="constrained")
    for ((model, layer), of_layer), of_row in zip(places, axes, strict=True):
        for arm, axis in zip(arms, of_row, strict=True):
            probe = probes.loc[model, layer, arm]
            _draw(axis, of_layer[of_layer["arm"] == arm])
            told_apart = f"{probe['value']:.2f} [{probe['low']:.2f}, {probe['high']:.2f}]"
            axis.set_title(f"{model}, {arm}\n{layer}: {told_apart}", fontsize=7)
    handles = dict(zip(*reversed(axes[0][0].get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles, ncols=2, loc="outside lower center")
    return figure


def _draw(axis: Axes, points: pd.DataFrame) -> None:
    for label, (colour, marker) in zip(sorted(points["class"].unique()), CLASS_LOOKS, strict=False):
        of_class = points[points["class"] == label]
        axis.scatter(of_class["x"], of_class["y"], s=8, lw=0, color=colour, marker=marker, label=label)
    # The axes of t-SNE have no meaning.
    axis.set_xticks([])
    axis.set_yticks([])
