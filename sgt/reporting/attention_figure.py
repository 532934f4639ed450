"""The figure of attention: how its shares differ from those of the base model and of the control, layer by layer."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sgt.reporting.attention import ALL_LAYERS
from sgt.reporting.style import ZERO, Look, handles, looks_of, points

# Arms stand side by side, over so much of the way to the next layer.
SPREAD = 0.5
# What each panel shows: form, measure, the columns, what it is.
BY_LAYER = (
    ("model", "question_to_vision", "over_base", "question to image, less base"),
    ("model", "question_to_vision", "over_sft", "question to image, less sft"),
    ("released", "question_to_vision", "over_base_percent", "released form, change over base, %"),
)
BY_KIND = ("model", "over_base", "latents to keywords, less base")


def attention_figure(rows: pd.DataFrame) -> Figure:
    """A row of panels per model, of the rows of one analysis: see :func:`sgt.reporting.attention.attention_of`."""
    models, looks = list(dict.fromkeys(rows["model"])), looks_of(list(dict.fromkeys(rows["arm"])))
    panels = [panel for panel in BY_LAYER if panel[2] in rows and (rows["measure"] == panel[1]).any()]
    form, column, title = BY_KIND
    kinds = list(dict.fromkeys(rows["measure"][rows["measure"].str.match("latents_to_(?!prompt)")]))
    by_kind = bool(kinds) and column in rows
    columns = len(panels) + by_kind
    size = 1 + 4 * columns, 3.2 * len(models)
    figure, axes = plt.subplots(len(models), columns, figsize=size, squeeze=False, sharey="col", layout="constrained")
    for model, of_model in zip(models, axes, strict=True):
        shown = rows[rows["model"] == model]
        for axis, (of_form, measure, over, what) in zip(of_model, panels, strict=False):
            chosen = shown[(shown["form"] == of_form) & (shown["measure"] == measure) & (shown["layer"] != ALL_LAYERS)]
            _draw(axis, chosen, "layer", list(dict.fromkeys(chosen["layer"])), over, looks)
            axis.set_title(f"{model}: {what}")
            axis.set_xlabel("layer")
        if by_kind:
            chosen = shown[(shown["form"] == form) & (shown["layer"] == ALL_LAYERS) & shown["measure"].isin(kinds)]
            _draw(of_model[-1], chosen, "measure", kinds, column, looks)
            of_model[-1].set_xticks(range(len(kinds)), [kind.rpartition("_")[2] for kind in kinds])
            of_model[-1].set_title(f"{model}: {title}")
    shown = handles({arm: look for arm, look in looks.items() if arm not in _never_compared(rows)})
    axes[0][-1].legend(handles=shown, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _never_compared(rows: pd.DataFrame) -> set[str]:
    """Arms that no column compares with another: the only reference of a study without more."""
    over = [column for column in ("over_base", "over_sft") if column in rows]
    known = rows[over].notna().any(axis=1).groupby(rows["arm"]).any()
    return set(known.index[~known])


def _draw(axis: Axes, rows: pd.DataFrame, by: str, places: Sequence, over: str, looks: dict[str, Look]) -> None:
    """A point with its interval per arm and place; hollow if the arm has a proxy that it did not learn."""
    compared = [arm for arm in looks if rows[over][rows["arm"] == arm].notna().any()]
    for number, arm in enumerate(compared):
        chosen = rows[rows["arm"] == arm]
        shift = SPREAD * ((number + 0.5) / len(compared) - 0.5)
        value = chosen[over]
        points(
            axis,
            [places.index(place) + shift for place in chosen[by]],
            value,
            looks[arm],
            hollow=chosen["administered"].isin([False]).any(),
            yerr=[value - chosen[f"{over}_low"], chosen[f"{over}_high"] - value],
        )
    axis.axhline(0, color=ZERO, lw=0.8)
    if by == "layer":
        axis.set_xticks(range(len(places)), places)
