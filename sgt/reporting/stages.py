"""How long the stages of a study took, from the workflow's benchmark files."""

from collections import defaultdict
from pathlib import Path

import pandas as pd


def job_seconds(path: Path) -> float | None:
    """How long a job took, from its benchmark file; None if it has left none."""
    try:
        return float(pd.read_csv(path, sep="\t", na_values="-")["s"].sum())
    except (OSError, KeyError, ValueError):
        return None


def stage_times(folder: Path) -> pd.DataFrame:
    """Jobs, seconds in all and of the longest, and largest memory (MB) per stage, slowest stage first.

    Args:
        folder: of Snakemake's benchmark files; the first part of a file's path names its stage.
    """
    stages = defaultdict(list)
    for path in sorted(folder.rglob("*.tsv")):
        stages[path.relative_to(folder).parts[0].removesuffix(".tsv")].append(
            pd.read_csv(path, sep="\t", na_values="-")
        )
    rows = []
    for stage, tables in stages.items():
        jobs = pd.concat(tables)
        rows.append((stage, len(tables), jobs["s"].sum(), jobs["s"].max(), jobs["max_rss"].max()))
    columns = ["stage", "jobs", "seconds", "longest", "memory"]
    return pd.DataFrame(rows, columns=columns).sort_values("seconds", ascending=False, ignore_index=True)
