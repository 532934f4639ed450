"""Every figure of a study: what each shows is in :mod:`sgt.reporting.contents`, how all look in ``style``."""

from collections.abc import Callable
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sgt.atomic import atomic_path
from sgt.config.benchmarks import ImageBenchmark
from sgt.evaluation.treatment import MIN_USE
from sgt.reporting.ablation_figure import ablation_figure
from sgt.reporting.ablations import ablations_of
from sgt.reporting.attention import attention_of
from sgt.reporting.attention_figure import attention_figure
from sgt.reporting.contents import analyses_of, compared_arms, figures_of
from sgt.reporting.embeddings import embeddings_figure
from sgt.reporting.matrix import matrix
from sgt.reporting.paper.figures import curves_figure, dimensions_figure, protocols_figure
from sgt.reporting.paper.layouts import TABLES
from sgt.reporting.probe_figure import probes_figure
from sgt.reporting.samples import Sheet, generated_sheet, target_sheet
from sgt.reporting.scores import Scores
from sgt.reporting.style import REFERENCE, STYLE, ZERO, Look, handles, looks_of, points, save
from sgt.reporting.training_figure import training
from sgt.reporting.treatments import share_of_way
from sgt.study.loaded import LoadedStudy


def write_figures(study: LoadedStudy) -> None:
    """Write every figure into ``figures``, as PNG, SVG and PDF."""
    scores, folder = Scores(study), study.results / "figures"
    with matplotlib.rc_context(STYLE):
        for name in figures_of(study):
            match name:
                case "samples" | "scenes":
                    _write_sheet(target_sheet(study) if name == "samples" else generated_sheet(study), folder, name)
                case "treatment":
                    save(treatment(scores), folder, name)
                case "outcomes":
                    save(matrix(scores), folder, name)
                case "gains":
                    save(gains(scores), folder, name)
                case "generation":
                    save(generation(scores), folder, name)
                case "probes":
                    hollow = [key for key, each in scores.treatments.items() if not each.is_administered]
                    save(probes_figure(study, hollow), folder, name)
                case "embeddings":
                    save(embeddings_figure(study), folder, name)
                case "ablations":
                    save(ablations(scores), folder, name)
                case "attention":
                    rows = attention_of(scores)
                    save(attention_figure(rows[rows["analysis"] == analyses_of(study, "attend")[0]]), folder, name)
                case "dimensions":
                    save(dimensions_figure(scores, TABLES["paper-dimensions"](scores)), folder, name)
                case "ratio":
                    label = "samples of the proxy per question"
                    save(curves_figure(scores, TABLES["paper-ratio"](scores), label), folder, name)
                case "scale":
                    table = TABLES["paper-scale"](scores)
                    save(curves_figure(scores, table, "images of the proxy", logarithmic=True), folder, name)
                case "protocols":
                    save(protocols_figure(scores), folder, name)
                case "training":
                    save(training(study), folder, name)


def _write_sheet(sheet: Sheet, folder: Path, name: str) -> None:
    """Its vector files, and a PNG with the images' own pixels."""
    save(sheet.figure(), folder, name, pixels=False)
    with atomic_path(folder / f"{name}.png") as temporary:
        sheet.image().save(temporary, "PNG")


def ablations(scores: Scores) -> Figure:
    """Gains, and what is lost of them under ablation, of the first such analysis: accuracies, and log-probability."""
    rows = ablations_of(scores)
    first = rows[rows["analysis"] == analyses_of(scores.study, "ablate")[0]]
    benchmark = first["benchmark"].iloc[0]
    shown = [metric for metric in scores.metrics(benchmark) if metric.headline or metric.name == "logprob"]
    titles = {metric.name: metric.title for metric in shown}
    return ablation_figure(first[first["metric"].isin(titles)], titles)


def treatment(scores: Scores) -> Figure:
    """Use and fidelity of every proxy arm, with 95% intervals; a row of panels per model."""
    models, arms = scores.study.study.models, scores.study.proxy_arms
    looks, size = looks_of(scores.study.study.arms), (10, (0.7 + 0.34 * len(arms)) * len(models))
    figure, axes = plt.subplots(len(models), 2, figsize=size, squeeze=False, sharex="col", layout="constrained")
    for model, (of_use, of_fidelity) in zip(models, axes, strict=True):
        measures = []
        for place, arm in enumerate(arms):
            checked = scores.treatments[model, arm]
            measures.append(checked.fidelity.name)
            for axis, estimate in ((of_use, checked.use), (of_fidelity, share_of_way(checked.fidelity))):
                value, low, high = (np.array([each]) for each in (estimate.value, estimate.low, estimate.high))
                _across(axis, value, low, high, np.array([place]), looks[arm], not checked.is_administered, arm)
        of_use.axvline(MIN_USE, color=REFERENCE, lw=0.8, ls="--")
        of_use.set(title=f"{model}: use", xlim=(min(0.0, of_use.get_xlim()[0]), 1.0))
        of_fidelity.set(title=f"{model}: fidelity, floor 0 to ceiling 1")
        for bound in (0, 1):
            of_fidelity.axvline(bound, color=REFERENCE, lw=0.8)
        for axis, labels in ((of_use, arms), (of_fidelity, measures)):
            axis.set_yticks(range(len(arms)), labels)
            axis.set_ylim(len(arms) - 0.5, -0.5)
    return figure


def gains(scores: Scores) -> Figure:
    """Gain over the control of what sums benchmarks up, a point with its 95% interval per arm; a panel per model."""
    cells = scores.cells[scores.cells["arm"].isin(compared_arms(scores.study))]
    pairs = zip(cells["benchmark"], cells["metric"], strict=True)
    headline = np.array([scores.metric(*pair).headline for pair in pairs], bool)
    cells = cells[~_of_images(scores, cells) & headline]
    return _panels(
        scores, cells, lambda row: (row.gain, row.gain_low, row.gain_high), "gain over sft, {unit}", zero=True
    )


def generation(scores: Scores) -> Figure:
    """Generation metrics by arm, with 95% intervals; a panel per model. One line where nothing was scored."""
    cells = scores.cells[_of_images(scores, scores.cells)]
    if cells.empty:
        figure = plt.figure(figsize=(6, 0.6))
        figure.text(0.5, 0.5, "No images were scored: see below the tables.", ha="center", va="center")
        return figure
    return _panels(scores, cells, lambda row: (row.value, row.low, row.high), "{unit}", zero=False)


def _of_images(scores: Scores, cells: pd.DataFrame) -> pd.Series:
    """Which cells are of benchmarks that models make images for."""
    names = [name for name, each in scores.study.benchmarks.items() if isinstance(each, ImageBenchmark)]
    return cells["benchmark"].isin(names)


def _words(text: str) -> Figure:
    """A text in the place of a figure that has nothing to show."""
    figure, axis = plt.subplots(figsize=(5.5, 0.8), layout="constrained")
    axis.axis("off")
    axis.text(0, 0.5, text, fontsize=8, va="center")
    return figure


def _panels(scores: Scores, cells: pd.DataFrame, span: Callable, label: str, zero: bool) -> Figure:
    """A row of panels per unit of the metrics, a panel per model.

    Args:
        scores: that the cells are of.
        cells: rows of :attr:`Scores.cells`.
        span: value, low and high of a cell.
        label: of the horizontal axes, with ``{unit}`` for the unit.
        zero: whether zero has a line.
    """
    if cells.empty:
        return _words("\n".join(f"{name}: {reason}" for name, reason in scores.not_run.items()))
    pairs = list(zip(cells["benchmark"], cells["metric"], strict=True))
    titles = scores.titles(pairs)
    cells = cells.assign(row=[titles[pair] for pair in pairs], unit=[scores.metric(*pair).unit for pair in pairs])
    models, units, arms = (list(dict.fromkeys(cells[column])) for column in ("model", "unit", "arm"))
    pitch = len(arms) + 1.5
    over = f"seeds and {scores.clusters}" if len(scores.study.study.seeds) > 1 else scores.clusters
    heights = [1.0 + 0.11 * pitch * cells[cells["unit"] == unit]["row"].nunique() for unit in units]
    figure, axes = plt.subplots(
        len(units), len(models), figsize=(1.5 + 5.5 * len(models), sum(heights)), squeeze=False, sharey="row",
        sharex="row", height_ratios=heights, layout="constrained",
    )  # fmt: skip
    looks = looks_of(scores.study.study.arms)
    for unit, of_unit in zip(units, axes, strict=True):
        metrics = list(dict.fromkeys(cells[cells["unit"] == unit]["row"]))
        for axis, model in zip(of_unit, models, strict=True):
            for place, arm in enumerate(arms):
                rows = cells[(cells["model"] == model) & (cells["arm"] == arm) & (cells["unit"] == unit)]
                values, low, high = np.array([span(row) for row in rows.itertuples()], float).T
                y = np.array([metrics.index(row) * pitch + place for row in rows["row"]])
                _across(axis, values, low, high, y, looks[arm], scores.administered(model, arm) is False, arm)
            if zero:
                axis.axvline(0, color=ZERO, lw=0.8)
            axis.set(xlabel=f"{label.format(unit=unit)}, 95% interval over {over}", title=model)
            axis.locator_params(axis="x", nbins=5)
            axis.set_yticks([index * pitch + (len(arms) - 1) / 2 for index in range(len(metrics))], metrics)
            for index in range(1, len(metrics)):
                axis.axhline(index * pitch - 1.25, color="#e4e4e4", lw=0.7)
        of_unit[0].invert_yaxis()
    shown = handles({arm: looks[arm] for arm in arms})
    axes[0][-1].legend(handles=shown, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _across(
    axis: plt.Axes,
    values: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    y: np.ndarray,
    look: Look,
    hollow: bool,
    arm: str,
) -> None:
    """An arm's values along x, with their intervals."""
    points(axis, values, y, look, hollow, xerr=[values - low, high - values], label=arm)
