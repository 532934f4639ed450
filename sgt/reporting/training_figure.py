"""The figure of the losses of training."""

import json

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from sgt.reporting.style import label_ends, looks_of
from sgt.study.loaded import LoadedStudy

SMOOTHED_OVER = 20
LOSSES = {"ce": "text cross-entropy, nats", "mse": "flow-matching error"}
# Markers of each curve, so that curves can be told apart in grey.
MARKERS = 6


def training(study: LoadedStudy) -> Figure:
    """Both losses of every trained run over steps, first seed, averaged over some steps; a column per model.

    Each curve is named at its end.
    """
    models, looks = study.study.models, looks_of(study.study.arms)
    size = 1.0 + 4.6 * len(models), 5.6
    figure, axes = plt.subplots(
        len(LOSSES), len(models), figsize=size, squeeze=False, sharey="row", sharex="col", layout="constrained"
    )
    ends: dict[plt.Axes, list[tuple[float, float, str, str]]] = {axis: [] for axis in axes.flat}
    for run in study.runs:
        path = study.run_dir(run) / "metrics.jsonl"
        if run.seed != study.study.seeds[0] or not path.exists():
            continue
        lines = pd.DataFrame([json.loads(line) for line in path.read_text().splitlines()])
        steps, look = lines["step"], looks[run.arm]
        for axis, loss in zip(axes[:, models.index(run.model)], LOSSES, strict=True):
            if not lines[loss].any():
                continue
            smooth = lines[loss].rolling(SMOOTHED_OVER, min_periods=1).mean()
            every = max(1, len(steps) // MARKERS)
            axis.plot(steps, smooth, color=look.colour, ls=look.line, marker=look.marker, markevery=every, ms=3.5)
            ends[axis].append((float(steps.iloc[-1]), float(smooth.iloc[-1]), run.arm, look.colour))
    for row, title in zip(axes, LOSSES.values(), strict=True):
        for axis, model in zip(row, models, strict=True):
            axis.set_title(f"{model}: {title}")
    for axis in axes[-1]:
        axis.set_xlabel("step")
    for axis, of_axis in ends.items():
        label_ends(axis, of_axis)
    return figure
