"""How long the stages of a study took, from the workflow's benchmark files."""

from collections import defaultdict
from pathlib import Path

import pandas as pd

from sgt.config.study import ARM_WITHOUT_TRAINING


def job_seconds(path: Path) -> float | None:
    """How long a job took, from its benchmark file; None if it has left none."""
    times = _read(path)
    return None if times is None else float(times["s"].sum())


def stage_times(folder: Path) -> pd.DataFrame:
    """Jobs, seconds in all and of the longest, and largest memory (MB) per stage, slowest stage first.

    Args:
        folder: of Snakemake's benchmark files; the first part of a file's path names its stage. Recording weights that
            are not trained is a stage of its own, ``base``.
    """
    stages = defaultdict(list)
    for path in sorted(folder.rglob("*.tsv")):
        stage, *below = path.relative_to(folder).parts
        stage = ARM_WITHOUT_TRAINING if stage == "train" and ARM_WITHOUT_TRAINING in below[1:2] else stage
        if (times := _read(path)) is not None:
            stages[stage.removesuffix(".tsv")].append(times)
    rows = []
    for stage, tables in stages.items():
        jobs = pd.concat(tables)
        rows.append((stage, len(tables), jobs["s"].sum(), jobs["s"].max(), jobs["max_rss"].max()))
    columns = ["stage", "jobs", "seconds", "longest", "memory"]
    return pd.DataFrame(rows, columns=columns).sort_values("seconds", ascending=False, ignore_index=True)


def _read(path: Path) -> pd.DataFrame | None:
    """A benchmark file; None if there is none, or not a whole one, as where Snakemake was killed while writing it."""
    try:
        return pd.read_csv(path, sep="\t", na_values="-").astype({"s": float, "max_rss": float})
    except (OSError, KeyError, ValueError):
        return None
