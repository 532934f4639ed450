"""How long the stages of a study took, from the workflow's benchmark files."""

from collections import defaultdict
from pathlib import Path

import pandas as pd

from sgt.config.study import ARM_WITHOUT_TRAINING


def job_seconds(path: Path) -> float | None:
    """How long a job took, from its benchmark file; None if it has left none."""
    jobs = _jobs(path)
    return None if jobs is None else float(jobs["s"].sum())


def _jobs(path: Path) -> pd.DataFrame | None:
    """What a benchmark file has of its jobs; None of one that is not there or damaged, as by a disk that was full."""
    try:
        jobs = pd.read_csv(path, sep="\t", na_values="-")
        return jobs.reindex(columns=["s", "max_rss"]).astype(float) if "s" in jobs and len(jobs) else None
    except (OSError, ValueError):
        return None


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
        if (jobs := _jobs(path)) is not None:
            stages[stage.removesuffix(".tsv")].append(jobs)
    rows = []
    for stage, tables in stages.items():
        jobs = pd.concat(tables)
        rows.append((stage, len(tables), jobs["s"].sum(), jobs["s"].max(), jobs["max_rss"].max()))
    columns = ["stage", "jobs", "seconds", "longest", "memory"]
    return pd.DataFrame(rows, columns=columns).sort_values("seconds", ascending=False, ignore_index=True)
