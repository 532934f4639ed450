"""Recording that a run is finished, and finding out whether it is.

A run is finished when ``run.json`` exists; its weights are then complete. A copy is kept in ``work/``, because
Snakemake deletes ``run.json`` before it repeats a job, and training the run once more could take days.
"""

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sgt.atomic import atomic_dir, copy_file
from sgt.config.models import Model
from sgt.errors import SgtError
from sgt.identity import Identity, read_record, write_record
from sgt.models.registry import weight_hashes
from sgt.training.configurations import remove_checkpoints

log = logging.getLogger("sgt")
RECORD, COPY, METRICS = "run.json", "finished.json", "metrics.jsonl"


@contextmanager
def final_weights(run_dir: Path) -> Iterator[Path]:
    """A temporary folder that becomes ``final/`` when the block ends; until then an earlier result is kept as it is.

    Temporary folders that killed processes have left are removed.
    """
    for temporary in run_dir.glob(".final.*.tmp"):
        shutil.rmtree(temporary)
    with atomic_dir(run_dir / "final") as folder:
        yield folder
        # The record of an earlier result goes before its weights are replaced.
        for path in _records(run_dir):
            path.unlink(missing_ok=True)


def finish(run_dir: Path, record: dict) -> None:
    """Record that a run is finished; called after ``final/`` is complete.

    Args:
        run_dir: the run's folder.
        record: with at least its ``identity`` and the hashes of the ``files`` in ``final/``.
    """
    copy_file(run_dir / "work" / METRICS, run_dir / METRICS)
    for path in reversed(_records(run_dir)):
        write_record(path, record)


def is_finished(run_dir: Path, spec: Model, identity: Identity) -> bool:
    """Whether a run of this identity is finished, and its weights have the hashes in its record.

    A ``run.json`` that was deleted is restored from its copy.
    """
    public = run_dir / RECORD
    for path in _records(run_dir):
        record = _record_of(path, identity)
        if record and _has_weights(run_dir / "final", spec, record["files"]):
            if path != public:
                write_record(public, record)
            return True
    return False


def remove_resumable(run_dir: Path, fingerprint: str) -> None:
    """Remove the resumable checkpoints of a finished run."""
    try:
        remove_checkpoints(run_dir / "work", fingerprint)
    except OSError as error:
        log.warning("%s: checkpoints of a finished run cannot be removed (%s); delete them", run_dir / "work", error)


def _record_of(path: Path, identity: Identity) -> dict | None:
    """The record in a file, if it is of this identity."""
    try:
        record = read_record(path)
        return record if record["identity"] == identity else None
    except (OSError, KeyError, SgtError):
        return None


def _has_weights(folder: Path, spec: Model, hashes: dict[str, str]) -> bool:
    try:
        return weight_hashes(spec, folder) == hashes
    except (OSError, SgtError):
        return False


def _records(run_dir: Path) -> tuple[Path, Path]:
    return run_dir / RECORD, run_dir / "work" / COPY
