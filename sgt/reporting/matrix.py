"""The figure of outcomes: differences from the control, by kind and arm."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sgt.reporting.outcomes import outcomes_of
from sgt.reporting.scores import Scores
from sgt.reporting.wording import readable

WORSE_TO_BETTER = "RdBu"
LINES, UNSEEN = "#c8c8c8", "#9a9a9a"


def matrix(scores: Scores) -> Figure:
    """Differences from the control by kind and arm: a row per model, a panel per benchmark, unit and better side.

    Cells are coloured where the interval excludes zero, and hatched where the arm was not administered.
    """
    outcomes = outcomes_of(scores)
    models, arms = (list(dict.fromkeys(outcomes[column])) for column in ("model", "arm"))
    panels = list(outcomes.groupby(["benchmark", "unit", "higher_is_better"], sort=False))
    tallest = max(part["metric"].nunique() for _, part in panels)
    # Beside the cells, room for the longest label.
    widths = [0.6 + 0.065 * part["title"].str.len().max() + 0.72 * len(arms) for _, part in panels]
    size = sum(widths), (1.3 + 0.24 * tallest) * len(models)
    figure, axes = plt.subplots(
        len(models), len(panels), figsize=size, squeeze=False, width_ratios=widths, layout="constrained"
    )
    for ((benchmark, unit, higher), part), column in zip(panels, axes.T, strict=True):
        coloured = part[(part["seen"] != "") & ~part["administered"].isin([False])]
        # The difference that has the full colour, in the panels of all models alike.
        largest = coloured["difference"].abs().max() if len(coloured) else 1.0
        for model, axis in zip(models, column, strict=True):
            _draw(axis, part[part["model"] == model], arms, largest)
            better = "" if higher else ", lower is better"
            axis.set_title(f"{model}: {benchmark}\n{unit}, less sft{better}", fontsize=9)
    return figure


def _draw(axis: plt.Axes, part: pd.DataFrame, arms: list[str], largest: float) -> None:
    titles = dict(zip(part["metric"], map(readable, part["title"]), strict=True))
    colours, scale = plt.get_cmap(WORSE_TO_BETTER), Normalize(-largest, largest)
    for row in part.itertuples():
        x, y = arms.index(row.arm), list(titles).index(row.metric)
        untreated = row.administered is False
        seen = bool(row.seen) and not untreated
        better = row.difference if row.higher_is_better else -row.difference
        axis.add_patch(
            Rectangle(
                (x - 0.5, y - 0.5),
                1,
                1,
                lw=0.6,
                edgecolor=LINES,
                hatch="////" if untreated else None,
                facecolor=colours(scale(better)) if seen else "white",
            )
        )
        if not np.isnan(row.difference) and not untreated:
            ink = "white" if seen and abs(better) > 0.6 * largest else "black" if seen else UNSEEN
            axis.text(x, y, f"{row.difference:+.3f}", ha="center", va="center", fontsize=7, color=ink)
    axis.set(xlim=(-0.52, len(arms) - 0.48), ylim=(len(titles) - 0.48, -0.52))
    axis.set_xticks(range(len(arms)), arms, rotation=35, ha="right", fontsize=8)
    axis.set_yticks(range(len(titles)), list(titles.values()), fontsize=8)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
