"""Treatment, gains and generation metrics by arm, training curves, and sheets of what was made."""

import json
from collections.abc import Callable
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

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
from sgt.reporting.probe_figure import probes_figure
from sgt.reporting.samples import generated_sheet, target_sheet
from sgt.reporting.scores import Scores
from sgt.reporting.treatments import share_of_way
from sgt.study.load import LoadedStudy

# Arms keep their colour in every figure: warm for high and mid level, cool for low, grey for the controls.
COLOURS = {
    "base": "#b8b8b8",
    "sft": "#6e6e6e",
    "sft-compute": "#303030",
    "segmentation": "#c8321f",
    "depth": "#e69f00",
    "edge": "#0072b2",
    "reconstruction": "#56b4e9",
    "inpainting": "#009e73",
}
SMOOTHED_OVER = 20


def write_figures(study: LoadedStudy) -> None:
    """Write ``figures/*.png``."""
    scores = Scores(study)
    folder = study.results / "figures"
    for name in figures_of(study):
        match name:
            case "samples" | "scenes":
                sheet = target_sheet(study) if name == "samples" else generated_sheet(study)
                with atomic_path(folder / f"{name}.png") as temporary:
                    sheet.save(temporary, "PNG")
            case "treatment":
                _save(treatment(scores), folder / "treatment.png")
            case "outcomes":
                _save(matrix(scores), folder / "outcomes.png")
            case "gains":
                _save(gains(scores), folder / "gains.png")
            case "generation":
                _save(generation(scores), folder / "generation.png")
            case "probes":
                _save(probes_figure(study, COLOURS), folder / "probes.png")
            case "embeddings":
                _save(embeddings_figure(study), folder / "embeddings.png")
            case "attention":
                rows = attention_of(scores)
                first = rows[rows["analysis"] == analyses_of(study, "attend")[0]]
                _save(attention_figure(first, COLOURS), folder / "attention.png")
            case "ablations":
                _save(ablations(scores), folder / "ablations.png")
            case "training":
                _save(training(study), folder / "training.png")


def ablations(scores: Scores) -> Figure:
    """Gains, and what is lost of them under ablation, of the first such analysis: accuracies, and log-probability."""
    rows = ablations_of(scores)
    first = rows[rows["analysis"] == analyses_of(scores.study, "ablate")[0]]
    benchmark = first["benchmark"].iloc[0]
    shown = [metric for metric in scores.metrics(benchmark) if metric.headline or metric.name == "logprob"]
    titles = {metric.name: metric.title for metric in shown}
    return ablation_figure(first[first["metric"].isin(titles)], titles, COLOURS)


def treatment(scores: Scores) -> Figure:
    """Use and fidelity of every proxy arm, with 95% intervals; a row of panels per model."""
    models, arms = scores.study.study.models, scores.study.proxy_arms
    figure, axes = plt.subplots(
        len(models), 2, figsize=(10, (0.7 + 0.34 * len(arms)) * len(models)), squeeze=False, layout="constrained"
    )
    for model, (of_use, of_fidelity) in zip(models, axes, strict=True):
        measures = []
        for place, arm in enumerate(arms):
            checked = scores.treatments[model, arm]
            measures.append(checked.fidelity.name)
            for axis, estimate in ((of_use, checked.use), (of_fidelity, share_of_way(checked.fidelity))):
                value, low, high = (np.array([each]) for each in (estimate.value, estimate.low, estimate.high))
                _points(axis, value, low, high, np.array([place]), arm, checked.is_administered)
        of_use.axvline(MIN_USE, color="black", lw=0.8, ls="--")
        of_use.set(title=f"{model}: use", xlim=(min(0.0, of_use.get_xlim()[0]), 1.0))
        of_fidelity.set(title=f"{model}: fidelity, floor 0 to ceiling 1")
        for bound in (0, 1):
            of_fidelity.axvline(bound, color="black", lw=0.8)
        for axis, labels in ((of_use, arms), (of_fidelity, measures)):
            axis.set_yticks(range(len(arms)), labels)
            axis.set_ylim(len(arms) - 0.5, -0.5)
            _clean(axis)
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


def training(study: LoadedStudy) -> Figure:
    """Both losses of every trained run over steps, first seed, averaged over some steps; a column per model."""
    models, losses = study.study.models, {"ce": "text cross-entropy, nats", "mse": "flow-matching error"}
    size = 2.0 + 4.2 * len(models), 5.6
    figure, axes = plt.subplots(2, len(models), figsize=size, squeeze=False, sharey="row", layout="constrained")
    for run in study.runs:
        path = study.run_dir(run) / "metrics.jsonl"
        if run.seed != study.study.seeds[0] or not path.exists():
            continue
        lines = pd.DataFrame([json.loads(line) for line in path.read_text().splitlines()])
        for axis, loss in zip(axes[:, models.index(run.model)], losses, strict=True):
            if lines[loss].any():
                smooth = lines[loss].rolling(SMOOTHED_OVER, min_periods=1).mean()
                axis.plot(lines["step"], smooth, color=COLOURS.get(run.arm), label=run.arm, lw=1.2)
    for row, title in zip(axes, losses.values(), strict=True):
        for axis, model in zip(row, models, strict=True):
            axis.set(xlabel="step", title=f"{model}: {title}")
            _clean(axis)
    # Beside the curves, where it hides none; arms have one colour in all panels.
    arms = dict(zip(*reversed(axes[0][-1].get_legend_handles_labels()), strict=True))
    if arms:
        axes[0][-1].legend(arms.values(), arms.keys(), frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


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
        height_ratios=heights, layout="constrained",
    )  # fmt: skip
    for unit, of_unit in zip(units, axes, strict=True):
        metrics = list(dict.fromkeys(cells[cells["unit"] == unit]["row"]))
        for axis, model in zip(of_unit, models, strict=True):
            for place, arm in enumerate(arms):
                rows = cells[(cells["model"] == model) & (cells["arm"] == arm) & (cells["unit"] == unit)]
                values, low, high = np.array([span(row) for row in rows.itertuples()], float).T
                y = np.array([metrics.index(row) * pitch + place for row in rows["row"]])
                _points(axis, values, low, high, y, arm, scores.administered(model, arm))
            if zero:
                axis.axvline(0, color="black", lw=0.8)
            axis.set(xlabel=f"{label.format(unit=unit)}, 95% interval over {over}", title=model)
            axis.locator_params(axis="x", nbins=5)
            axis.set_yticks([index * pitch + (len(arms) - 1) / 2 for index in range(len(metrics))], metrics)
            for index in range(1, len(metrics)):
                axis.axhline(index * pitch - 1.25, color="#e4e4e4", lw=0.7)
            _clean(axis)
        of_unit[0].invert_yaxis()
    arms_shown = [Line2D([], [], marker="o", ms=3.5, lw=1.2, color=COLOURS.get(arm), label=arm) for arm in arms]
    axes[0][-1].legend(handles=arms_shown, frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _points(
    axis: plt.Axes, values: np.ndarray, low: np.ndarray, high: np.ndarray, y: np.ndarray, arm: str, treated: bool | None
) -> None:
    """An arm's values with their intervals, hollow if it has a proxy that it did not learn."""
    axis.errorbar(
        values,
        y,
        xerr=[values - low, high - values],
        fmt="o",
        ms=3.5,
        lw=1.2,
        mfc="white" if treated is False else None,
        color=COLOURS.get(arm),
        label=arm,
    )


def _clean(axis: plt.Axes) -> None:
    axis.spines[["top", "right"]].set_visible(False)


def _save(figure: Figure, path: Path) -> None:
    with atomic_path(path) as temporary:
        # Without a software version in it, the file depends on the numbers alone.
        figure.savefig(temporary, format="png", dpi=130, metadata={"Software": None})
    plt.close(figure)
