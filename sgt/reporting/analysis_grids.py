"""What analyses found, as tables with intervals: linear probes, attention, and transplants."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from sgt.config.study import ARM_WITHOUT_PROXY, ARM_WITHOUT_TRAINING
from sgt.reporting.attention import attention_of
from sgt.reporting.contents import analyses_of
from sgt.reporting.grid import Grid, Lines
from sgt.reporting.latex import Line
from sgt.reporting.points import MISSING, shown
from sgt.reporting.probes import probe_rows
from sgt.reporting.scores import Scores
from sgt.reporting.transplants import transplants_of

# Whose difference stands below each value, the first that the study has.
REFERENCES = (ARM_WITHOUT_PROXY, ARM_WITHOUT_TRAINING)
HALF = "After ± stands half of the 95% interval."


def analysis_grids(scores: Scores) -> Iterator[tuple[str, Grid]]:
    """An anchor and a table per model and kind of analysis that the study has."""
    study = scores.study
    if analyses_of(study, "probe"):
        rows = probe_rows(study)
        rows["administered"] = [scores.administered(*key) for key in zip(rows["model"], rows["arm"], strict=True)]
        for model in study.models:
            yield f"probes-{model}", probes_grid(rows[rows["model"] == model], model)
    if analyses_of(study, "attend"):
        rows = attention_of(scores)
        for model in study.models:
            yield f"attention-{model}", attention_grid(rows[rows["model"] == model], model)
    if study.study.transplants:
        yield "transplants", transplants_grid(scores)


def probes_grid(rows: pd.DataFrame, model: str) -> Grid:
    """Rows of layers by target, columns of arms; the last is the range of the arms' controls."""
    arms, reference = _arms(rows), _reference(rows)
    groups: dict[str, list[list[Lines]]] = {}
    for (analysis, target, layer), of_layer in rows.groupby(["analysis", "target", "layer"], sort=False):
        by_arm = of_layer.set_index("arm")
        cells = [_with_difference(by_arm.loc[arm], "value", reference) for arm in arms]
        control = f"{by_arm['control'].min():.3f} to {by_arm['control'].max():.3f}"
        several = f"{analysis}: " if rows["analysis"].nunique() > 1 else ""
        title = f"{several}{target}, {by_arm['metric'].iloc[0]}"
        groups.setdefault(title, []).append([[Line(layer)], *cells, [Line(control)]])
    head: list[Lines] = [[Line("layer")], *([Line(arm)] for arm in arms), [Line("shuffled labels")]]
    return Grid(f"{model}: linear probes by layer", head, groups, 1, _notes(reference))


def attention_grid(rows: pd.DataFrame, model: str) -> Grid:
    """Rows of layers by measure, columns of arms."""
    arms, reference = _arms(rows), _reference(rows)
    groups: dict[str, list[list[Lines]]] = {}
    for key, of_layer in rows.groupby(["analysis", "during", "form", "measure", "layer"], sort=False):
        analysis, during, form, measure, layer = map(str, key)
        by_arm = of_layer.set_index("arm")
        cells = [_with_difference(by_arm.loc[arm], "value", reference) for arm in arms]
        several = f"{analysis}: " if rows["analysis"].nunique() > 1 else ""
        title = f"{several}{measure.replace('_', ' ')}, while {during}, weights of the {form} form"
        groups.setdefault(title, []).append([[Line(layer if layer.isdigit() else f"{layer} of layers")], *cells])
    head: list[Lines] = [[Line("layer")], *([Line(arm)] for arm in arms)]
    return Grid(f"{model}: shares of attention by layer", head, groups, 1, _notes(reference))


def transplants_grid(scores: Scores) -> Grid:
    """Rows of what sums benchmarks up by transplant: the donor's gain, what moved with its parts, and the share."""
    rows = transplants_of(scores)
    groups: dict[str, list[list[Lines]]] = {}
    for row in rows[rows["headline"]].itertuples():
        metric = scores.metric(row.benchmark, row.metric)
        gain = shown(metric, row.gain, row.gain_low, row.gain_high, gain=True)
        moved = shown(metric, row.moved, row.moved_low, row.moved_high, gain=True)
        title = f"{row.model}: {row.parts} of {row.parts_from} put into {row.into}"
        name = scores.titles([(row.benchmark, row.metric)])[row.benchmark, row.metric]
        cells = [[Line(str(gain))], [Line(str(moved))], [Line(_interval(row.share, row.share_low, row.share_high))]]
        groups.setdefault(title, []).append([[Line(name)], *cells])
    head: list[Lines] = [[Line(text)] for text in ("measure", "gain of the donor", "moved", "share of the gain")]
    notes = [f"{HALF} Shares of right answers are in percentage points. The share is left out where no gain is seen."]
    return Grid("How much of a gain moves with the parts that are transplanted", head, groups, 1, notes)


def _arms(rows: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(rows["arm"]))


def _reference(rows: pd.DataFrame) -> str | None:
    return next((arm for arm in REFERENCES if f"over_{arm}" in rows and rows[f"over_{arm}"].notna().any()), None)


def _with_difference(row: pd.Series, column: str, reference: str | None) -> Lines:
    """A value and, below it, its difference from the reference; bold where the interval of that leaves zero out.

    Nothing is bold of an arm that did not learn its task, where the rows have that.
    """
    lines = [Line(_interval(row[column], row["low"], row["high"]))]
    if reference is None or np.isnan(row[f"over_{reference}"]):
        return lines
    low, high = row[f"over_{reference}_low"], row[f"over_{reference}_high"]
    seen = bool(low > 0 or high < 0) and row.get("administered") not in (False,)
    return [*lines, Line(_interval(row[f"over_{reference}"], low, high, "+"), bold=seen)]


def _interval(value: float, low: float, high: float, sign: str = "") -> str:
    """``0.812 ±0.012``."""
    if np.isnan(value):
        return MISSING
    text = f"{round(value, 4) + 0.0:{sign}.4f}".replace("-", "−")
    return text if np.isnan(low) else f"{text} ±{(high - low) / 2:.4f}"


def _notes(reference: str | None) -> list[str]:
    if reference is None:
        return [HALF]
    return [
        f"{HALF} Second line: less {reference} on the same items, bold where the interval leaves zero out. These "
        "intervals are not corrected for how many there are."
    ]
