"""A training curve that is small enough to be kept beside the weights."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean

from sgt.atomic import write_text

STEPS_PER_POINT = 100
# Means over the steps of a point. What is measured only now and then is taken as it is.
AVERAGED = ("loss", "ce", "mse", "grad_norm", "lr", "seconds")
TOWER = "tower_"


def write_curve(metrics: Path, out: Path) -> None:
    """Sum up ``metrics.jsonl``: one line per 100 steps, with the number of steps done as ``step``.

    Args:
        metrics: one line per step, from step 0.
        out: the curve.
    """
    lines = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    write_text(out, "".join(json.dumps(point) + "\n" for point in _points(lines)))


def _points(lines: Sequence[dict[str, float]]) -> Iterator[dict[str, float]]:
    for start in range(0, len(lines), STEPS_PER_POINT):
        part = lines[start : start + STEPS_PER_POINT]
        yield {"step": part[-1]["step"] + 1, **_means(part), **_measured(part)}


def _means(part: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: float(f"{fmean(line[name] for line in part):.4g}") for name in AVERAGED}


def _measured(part: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: round(value, 4) for line in part for name, value in line.items() if name.startswith(TOWER)}
