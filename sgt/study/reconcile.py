"""Bringing modification times in line with contents, before Snakemake plans.

Snakemake looks at modification times alone. Before it plans, the times of all current results are set into the order
in which results are made, and those that are not current are listed, so that their jobs run again.
"""

from collections.abc import Iterable
from pathlib import Path

from sgt.data.fetch import FETCHED
from sgt.errors import SgtError
from sgt.identity import UNKNOWN
from sgt.models.rules import rules_of
from sgt.study.base_weights import DATA, stale_files
from sgt.study.identity import is_checkpoint_file
from sgt.study.loaded import LoadedStudy
from sgt.study.results import MISSING, Results, set_time, time_of

TIMES = "benchmarks"


def reconcile(study: LoadedStudy) -> dict[Path, str]:
    """Set the times of all current results in order: none is older than anything made before it.

    Returns:
        The record of each result that is not current, and why; also of those that are not there.

    Raises:
        SgtError: a result was changed since it was made, or has no identity.
    """
    stale_bases = {name: paths for name in study.models if (paths := _old_files(study, name))}
    results = Results(study, stale_bases)
    faults = {
        Path(study.models[name].checkpoint): f"{paths[0]} is not as {DATA} has it"
        for name, paths in stale_bases.items()
    }
    oldest = max((time_of(path) for path in _given(study) if path.exists()), default=0)
    for stage in results.stages():
        faults |= {result.record: fault for result in stage if (fault := results.fault(result))}
        for result in (result for result in stage if faults.get(result.record) != MISSING):
            if result.recorded()[0] == UNKNOWN:
                problem = "has no identity: written by hand, or by another version"
                raise SgtError(result.record, problem, "delete it to make it again")
        files = [path for result in stage if result.record not in faults for path in result.files()]
        oldest = _raised(files, oldest)
    # Snakemake counts what it measured of a job as one of the job's results.
    _raised((study.results / TIMES).rglob("*.tsv"), oldest)
    return faults


def _old_files(study: LoadedStudy, model: str) -> list[Path]:
    """Files of a model's base checkpoint that are missing, or other than those of the versioned base weights."""
    folder = Path(study.models[model].checkpoint)
    return [path for path in stale_files(folder) if is_checkpoint_file(path)] if folder.exists() else []


def _raised(paths: Iterable[Path], oldest: int) -> int:
    """Let none of these files be older; returns the time of the newest."""
    newest = oldest
    for path in paths:
        if time_of(path) < oldest:
            set_time(path, oldest)
        newest = max(newest, time_of(path))
    return newest


def _given(study: LoadedStudy) -> list[Path]:
    """What the study starts from: of everything that is fetched, the record; of other base weights, the files."""
    folders = [study.download_of(name) for name in study.study.datasets]
    folders += study.read_downloads
    folders += [folder for model in study.models.values() for folder in model.weight_folders]
    weights = [
        Path(model.checkpoint) / file for model in study.models.values() for file in rules_of(model.family).weights
    ]
    return [folder / FETCHED for folder in folders if folder] + weights
