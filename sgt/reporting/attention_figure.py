"""The figure of attention: how its shares differ from those of the base model and of the control, layer by layer."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sgt.reporting.attention import ALL_LAYERS

# Arms stand side by side, over so much of the way to the next layer.
SPREAD = 0.5
# What each panel shows: form, measure, the columns, what it is.
BY_LAYER = (
    ("model", "question_to_vision", "over_base", "question to image, less base"),
    ("model", "question_to_vision", "over_sft", "question to image, less sft"),
    ("released", "question_to_vision", "over_base_percent", "released form, change over base, %"),
)
BY_KIND = ("model", "over_base", "latents to keywords, less base")


def attention_figure(rows: pd.DataFrame, colours: dict[str, str]) -> Figure:
    """A row of panels per model.

    Args:
        rows: of one analysis, see :func:`sgt.reporting.attention.attention_of`.
        colours: of arms; others are matplotlib's.
    """
    models, arms = list(dict.fromkeys(rows["model"])), list(dict.fromkeys(rows["arm"]))
    panels = [panel for panel in BY_LAYER if panel[2] in rows and (rows["measure"] == panel[1]).any()]
    form, column, title = BY_KIND
    kinds = list(dict.fromkeys(rows["measure"][rows["measure"].str.match("latents_to_(?!prompt)")]))
    by_kind = bool(kinds) and column in rows
    columns = len(panels) + by_kind
    figure, axes = plt.subplots(
        len(models), columns, figsize=(1 + 4 * columns, 3.2 * len(models)), squeeze=False, layout="constrained"
    )
    for model, of_model in zip(models, axes, strict=True):
        shown = rows[rows["model"] == model]
        for axis, (of_form, measure, over, what) in zip(of_model, panels, strict=False):
            chosen = shown[(shown["form"] == of_form) & (shown["measure"] == measure) & (shown["layer"] != ALL_LAYERS)]
            _draw(axis, chosen, "layer", list(dict.fromkeys(chosen["layer"])), over, arms, colours)
            axis.set_title(f"{model}: {what}", fontsize=9)
            axis.set_xlabel("layer")
        if by_kind:
            chosen = shown[(shown["form"] == form) & (shown["layer"] == ALL_LAYERS) & shown["measure"].isin(kinds)]
            _draw(of_model[-1], chosen, "measure", kinds, column, arms, colours)
            of_model[-1].set_xticks(range(len(kinds)), [kind.rpartition("_")[2] for kind in kinds])
            of_model[-1].set_title(f"{model}: {title}", fontsize=9)
    shown = dict(pair[::-1] for axis in axes[0] for pair in zip(*axis.get_legend_handles_labels(), strict=True))
    axes[0][-1].legend(shown.values(), shown, frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _draw(
    axis: Axes, rows: pd.DataFrame, by: str, places: Sequence, over: str, arms: Sequence[str], colours: dict[str, str]
) -> None:
    """A point with its interval per arm and place; hollow if the arm has a proxy that it did not learn."""
    compared = [arm for arm in arms if rows[over][rows["arm"] == arm].notna().any()]
    for number, arm in enumerate(compared):
        chosen = rows[rows["arm"] == arm]
        shift = SPREAD * ((number + 0.5) / len(compared) - 0.5)
        value = chosen[over]
        axis.errorbar(
            [places.index(place) + shift for place in chosen[by]],
            value,
            yerr=[value - chosen[f"{over}_low"], chosen[f"{over}_high"] - value],
            fmt="o",
            ms=3,
            lw=1.1,
            mfc="white" if chosen["administered"].isin([False]).any() else None,
            color=colours.get(arm),
            label=arm,
        )
    axis.axhline(0, color="black", lw=0.8)
    if by == "layer":
        axis.set_xticks(range(len(places)), places)
    axis.spines[["top", "right"]].set_visible(False)
