"""The paper's figures, of a study's own values: gains by dimension, curves of ratio and scale, harnesses compared."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sgt.reporting.paper.cells import Cell, PaperTable
from sgt.reporting.points import is_share, unit_of_gains
from sgt.reporting.protocols import protocol_rows
from sgt.reporting.scores import Scores
from sgt.reporting.style import ZERO, handles, label_ends, looks_of, points

# Between the last arm of a dimension and the first of the next, in arms.
SPACE = 1.5
# Measures that a figure of curves has room for.
CURVES = 4
# A radar of fewer is a line.
LEAST_OF_A_RADAR = 3


def dimensions_figure(scores: Scores, table: PaperTable) -> Figure:
    """Gains by dimension: a row per model, dots with intervals, and beside them the radar that the paper draws."""
    shown = [column for column in range(len(table.measures)) if any(row[column] for row in table.cells)]
    models, looks = scores.study.study.models, looks_of(scores.study.study.arms)
    arms = list(dict.fromkeys(place.arm for place in table.places))
    height = max(2.8, 1.2 + 0.11 * (len(arms) + SPACE) * len(shown))
    figure = plt.figure(figsize=(10, height * len(models)), layout="constrained")
    grid = figure.add_gridspec(len(models), 2, width_ratios=(1.2, 1))
    first: Axes | None = None
    for line, model in enumerate(models):
        axis = figure.add_subplot(grid[line, 0], sharex=first, sharey=first)
        first = first or axis
        gains = {
            place.arm: np.array([_gain(row[column], table, column) for column in shown], float).reshape(-1, 3)
            for place, row in zip(table.places, table.cells, strict=True)
            if place.model == model
        }
        for number, arm in enumerate(arms):
            value, low, high = gains[arm].T
            y = np.arange(len(shown)) * (len(arms) + SPACE) + number
            hollow = scores.administered(model, arm) is False
            points(axis, value, y, looks[arm], hollow, xerr=[value - low, high - value])
        axis.axvline(0, color=ZERO, lw=0.8)
        titles = [table.measures[column].title for column in shown]
        axis.set_yticks(np.arange(len(shown)) * (len(arms) + SPACE) + (len(arms) - 1) / 2, titles)
        axis.set_title(model)
        if len(shown) >= LEAST_OF_A_RADAR:
            radar = figure.add_subplot(grid[line, 1], projection="polar")
            _radar(radar, titles, {arm: list(gains[arm][:, 0]) for arm in arms}, looks)
    if first is not None:
        first.invert_yaxis()
    figure.axes[-2 if len(shown) >= LEAST_OF_A_RADAR else -1].set_xlabel("gain over sft, pp, 95% interval")
    figure.legend(handles=handles({arm: looks[arm] for arm in arms}), ncols=len(arms), loc="outside lower center")
    return figure


def _gain(cell: Cell | None, table: PaperTable, column: int) -> tuple[float, float, float]:
    """In points, with its interval; NaN of what was not run."""
    if cell is None or cell.gain is None:
        return np.nan, np.nan, np.nan
    factor = 100 if is_share(table.measures[column].of[0][1]) else 1
    return factor * cell.gain.value, factor * cell.gain.low, factor * cell.gain.high


def _radar(axis: Axes, titles: Sequence[str], gains: dict[str, list[float]], looks: dict) -> None:
    """A closed line per arm over the dimensions; a thick ring is no gain."""
    angles = np.linspace(0, 2 * np.pi, len(titles), endpoint=False)
    around = np.append(angles, angles[0])
    for arm, values in gains.items():
        look = looks[arm]
        axis.plot(around, [*values, values[0]], color=look.colour, ls=look.line, marker=look.marker, ms=3.5, lw=1)
    axis.plot(np.linspace(0, 2 * np.pi, 100), np.zeros(100), color=ZERO, lw=1.2)
    every = np.array([value for values in gains.values() for value in values if not np.isnan(value)])
    low, high = min(every.min(initial=0), 0), max(every.max(initial=0), 0)
    axis.set_ylim(low - 0.4 * (high - low or 1), high + 0.05 * (high - low or 1))
    axis.set_xticks(angles, titles)
    axis.tick_params(labelsize=7)
    axis.spines["polar"].set_visible(False)


def curves_figure(scores: Scores, table: PaperTable, label: str, logarithmic: bool = False) -> Figure:
    """Gains along each curve with bands: a row per measure, a column per model; each curve is named at its end.

    Args:
        scores: of the study.
        table: of ratios or of scales.
        label: of the horizontal axes.
        logarithmic: whether they are, above the least place.
    """
    models = scores.study.study.models
    shown = [column for column in range(len(table.measures)) if any(row[column] for row in table.cells)]
    # Without any value there is an empty panel.
    shown = shown[:CURVES] or [0]
    curves = list(dict.fromkeys(place.curve for place in table.places))
    looks = looks_of(curves)
    size = 1.4 + 4.2 * len(models), 0.6 + 2.3 * len(shown)
    figure, axes = plt.subplots(
        len(shown), len(models), figsize=size, squeeze=False, sharex=True, sharey="row", layout="constrained"
    )
    for column, of_measure in zip(shown, axes, strict=True):
        for model, axis in zip(models, of_measure, strict=True):
            ends = []
            for curve in curves:
                at, value, low, high = _along(table, model, curve, column)
                if not len(at):
                    continue
                look = looks[curve]
                axis.plot(at, value, color=look.colour, ls=look.line, marker=look.marker)
                axis.fill_between(at, low, high, color=look.colour, alpha=0.18, lw=0)
                ends.append((at[-1], value[-1], curve, look.colour))
            axis.axhline(0, color=ZERO, lw=0.8)
            axis.set_title(f"{model}: {table.measures[column].title}")
            if logarithmic:
                axis.set_xscale("symlog", linthresh=min(place.at for place in table.places if place.at > 0))
            label_ends(axis, ends)
        of_measure[0].set_ylabel(f"gain over sft, {unit_of_gains(table.measures[column].of[0][1])}")
    for axis in axes[-1]:
        axis.set_xlabel(label)
    return figure


def _along(table: PaperTable, model: str, curve: str, column: int) -> np.ndarray:
    """Place, gain and its interval of each arm on a curve, the control at zero gain: 4 × arms."""
    found = []
    for place, row in zip(table.places, table.cells, strict=True):
        cell = row[column]
        if (place.model, place.curve) == (model, curve) and cell is not None:
            found.append((place.at, *(_gain(cell, table, column) if cell.gain else (0.0, 0.0, 0.0))))
    return np.array(found, float).reshape(-1, 4).T


def protocols_figure(scores: Scores) -> Figure:
    """How far each harness's rules lie from the study's, of the same replies: a panel per model, a point per arm."""
    rows = protocol_rows(scores)
    own = {name: benchmark.protocol for name, benchmark in scores.study.benchmarks.items()}
    others = rows[rows["protocol"] != rows["benchmark"].map(own)]
    # A benchmark that is read by one protocol alone differs from none.
    rows = others if len(others) else rows
    names = [f"{row.benchmark}: {row.protocol}" for row in rows.itertuples()]
    rows = rows.assign(name=names)
    models, order, looks = scores.study.study.models, list(dict.fromkeys(names)), looks_of(scores.study.study.arms)
    size = 1.8 + 4.0 * len(models), 1.0 + 0.32 * len(order)
    figure, axes = plt.subplots(
        1, len(models), figsize=size, squeeze=False, sharex=True, sharey=True, layout="constrained"
    )
    arms = list(dict.fromkeys(rows["arm"]))
    for model, axis in zip(models, axes[0], strict=True):
        for number, arm in enumerate(arms):
            chosen = rows[(rows["model"] == model) & (rows["arm"] == arm)]
            apart = 100 * chosen.groupby("name", sort=False)["apart"].mean()
            y = [order.index(name) + 0.6 * ((number + 0.5) / len(arms) - 0.5) for name in apart.index]
            points(axis, apart, y, looks[arm])
        axis.axvline(0, color=ZERO, lw=0.8)
        axis.set_title(model)
        axis.set_xlabel("less the study's protocol, pp")
        axis.set_yticks(range(len(order)), order)
    axes[0][0].invert_yaxis()
    axes[0][-1].legend(handles=handles({arm: looks[arm] for arm in arms}), loc="upper left", bbox_to_anchor=(1, 1))
    return figure
