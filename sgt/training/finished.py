"""The end of a run: how it is recorded, and how a run that is at its end already is known by it.

A run is finished when ``run.json`` is there; its weights are then whole. A copy lies in ``work/``, because the
workflow takes ``run.json`` away before it runs a job again, and training again what is trained would cost days.
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
    """A temporary folder that becomes ``final/`` when the block ends; until then all is as an earlier end left it.

    What a killed process left of such a folder goes.
    """
    for left in run_dir.glob(".final.*.tmp"):
        shutil.rmtree(left)
    with atomic_dir(run_dir / "final") as folder:
        yield folder
        # An earlier end, of another configuration, is over before its weights are.
        for path in _records(run_dir):
            path.unlink(missing_ok=True)


def finish(run_dir: Path, record: dict) -> None:
    """Record that a run is finished, after its ``final/`` is whole.

    Args:
        run_dir: of the run.
        record: with at least its ``identity`` and the hashes of the ``files`` in ``final/``.
    """
    copy_file(run_dir / "work" / METRICS, run_dir / METRICS)
    for path in reversed(_records(run_dir)):
        write_record(path, record)


def is_finished(run_dir: Path, spec: Model, identity: Identity) -> bool:
    """Whether a run has come to its end as it is asked for now: its record says so, and its weights are the record's.

    A ``run.json`` that was taken away is put back.
    """
    public = run_dir / RECORD
    for path in _records(run_dir):
        record = _record_of(path, identity)
        if record and _has_weights(run_dir / "final", spec, record["files"]):
            if path != public:
                write_record(public, record)
            return True
    return False


def clear(run_dir: Path, fingerprint: str) -> None:
    """Remove the checkpoints of a finished run, which nothing goes on from any more."""
    try:
        remove_checkpoints(run_dir / "work", fingerprint)
    except OSError as error:
        log.warning("%s: checkpoints of a finished run cannot be removed (%s); delete them", run_dir / "work", error)


def _record_of(path: Path, identity: Identity) -> dict | None:
    """What is recorded there of a run of this identity."""
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
