"""Checkpoints of several configurations of one run in its work folder, each kept for its own configuration.

Those of the current configuration are in ``work/``. Those of another one are in ``work/other-XXXXXXXXXXXX/``, named by
the beginning of its fingerprint, with the metrics of its steps.
"""

import json
import logging
import os
import shutil
from pathlib import Path

log = logging.getLogger("sgt")
MANIFEST = "state.json"
# Written at every step beside the checkpoints, and moved with them.
METRICS = ("metrics.jsonl", "tensorboard")


def saved_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, complete or not, the newest first."""
    return sorted(folder.glob("step-*"), reverse=True)


def fingerprint_of(checkpoint: Path) -> str | None:
    """Fingerprint of the configuration that a checkpoint belongs to; None if its manifest cannot be read."""
    try:
        return str(json.loads((checkpoint / MANIFEST).read_text())["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def switch_configuration(work: Path, fingerprint: str) -> None:
    """Set the checkpoints of other configurations aside, and restore those of this one that were set aside.

    Nothing is lost if the process is killed meanwhile: the next call completes it.

    Args:
        work: the run's folder.
        fingerprint: of the configuration that will be trained.
    """
    for checkpoint in saved_checkpoints(work):
        owner = fingerprint_of(checkpoint)
        if owner not in (None, fingerprint):
            _set_aside(work, owner)
    _restore(work, fingerprint)


def remove_checkpoints(work: Path, fingerprint: str) -> None:
    """Remove the checkpoints of a configuration that are not set aside, and incomplete ones."""
    for checkpoint in saved_checkpoints(work):
        if fingerprint_of(checkpoint) in (None, fingerprint):
            remove_checkpoint(checkpoint)
    remove_unfinished(work)


def remove_checkpoint(checkpoint: Path) -> None:
    """Remove a checkpoint, its manifest first: without it, the rest of the folder does not count as a checkpoint."""
    (checkpoint / MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(checkpoint)


def remove_unfinished(work: Path) -> None:
    """Remove temporary folders that killed processes have left."""
    for temporary in work.glob(".step-*.tmp"):
        shutil.rmtree(temporary)


def _folder_of(work: Path, fingerprint: str) -> Path:
    # A manifest is untrusted data: the name must not lead out of the folder.
    return work / ("other-" + "".join(filter(str.isalnum, fingerprint))[:12])


def _set_aside(work: Path, owner: str) -> None:
    """Move one configuration's metrics, then its checkpoints, to its own folder."""
    folder = _folder_of(work, owner)
    folder.mkdir(exist_ok=True)
    for name in METRICS:
        # If its folder has metrics already, a killed call moved them, and those in ``work`` are later.
        if (work / name).exists() and not (folder / name).exists():
            (work / name).rename(folder / name)
    checkpoints = [saved for saved in saved_checkpoints(work) if fingerprint_of(saved) == owner]
    for checkpoint in checkpoints:
        checkpoint.rename(folder / checkpoint.name)
    log.warning(
        "%s: moved to %s, because they belong to other data or another configuration, which will resume from there; "
        "delete that folder if you will not train it again",
        _names(checkpoints),
        folder,
    )


def _restore(work: Path, fingerprint: str) -> None:
    """Move this configuration's checkpoints back, then its metrics."""
    folder = _folder_of(work, fingerprint)
    if not folder.is_dir():
        return
    checkpoints = saved_checkpoints(folder)
    for checkpoint in checkpoints:
        place = work / checkpoint.name
        if place.exists():
            # Incomplete: complete ones of other configurations have been set aside.
            remove_checkpoint(place)
        checkpoint.rename(place)
    for name in METRICS:
        if (folder / name).exists():
            if (work / name).is_dir():
                shutil.rmtree(work / name)
            os.replace(folder / name, work / name)
    if not os.listdir(folder):
        folder.rmdir()
    if checkpoints:
        log.info("%s: moved back from %s, because they belong to this configuration", _names(checkpoints), folder)


def _names(checkpoints: list[Path]) -> str:
    return ", ".join(checkpoint.name for checkpoint in reversed(checkpoints))
