"""Checkpoints of several configurations of one run in its work folder: each is kept for the one it belongs to.

Those of the configuration that is trained now lie in ``work/``. Another one's lie in ``work/other-XXXXXXXXXXXX/``,
named by the beginning of its fingerprint, with what was written down while it was trained.
"""

import json
import logging
import os
import shutil
from pathlib import Path

log = logging.getLogger("sgt")
MANIFEST = "state.json"
# Written step by step beside the checkpoints, so of no use without them.
RECORDS = ("metrics.jsonl", "tensorboard")


def saved_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, whole or not, the newest first."""
    return sorted(folder.glob("step-*"), reverse=True)


def fingerprint_of(checkpoint: Path) -> str | None:
    """Of what a checkpoint is; None if that cannot be read, so that it is none."""
    try:
        return str(json.loads((checkpoint / MANIFEST).read_text())["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def make_way(work: Path, fingerprint: str) -> None:
    """Set aside what belongs to other configurations, and take back what was set aside of this one.

    Nothing is lost if the process is killed in between: the next call goes on.

    Args:
        work: the run's folder.
        fingerprint: of the configuration that will be trained.
    """
    for checkpoint in saved_checkpoints(work):
        owner = fingerprint_of(checkpoint)
        if owner not in (None, fingerprint):
            _set_aside(work, owner)
    _take_back(work, fingerprint)


def remove_checkpoints(work: Path, fingerprint: str) -> None:
    """Remove the checkpoints of a configuration that are not set aside, and what is left of torn ones."""
    for checkpoint in saved_checkpoints(work):
        if fingerprint_of(checkpoint) in (None, fingerprint):
            remove_checkpoint(checkpoint)
    remove_unfinished(work)


def remove_checkpoint(checkpoint: Path) -> None:
    """Remove one checkpoint. Without its manifest a folder is no checkpoint, however much of it is left."""
    (checkpoint / MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(checkpoint)


def remove_unfinished(work: Path) -> None:
    """Remove what a killed process had not finished writing."""
    for temporary in work.glob(".step-*.tmp"):
        shutil.rmtree(temporary)


def _folder_of(work: Path, fingerprint: str) -> Path:
    # A manifest is data: nothing in it may lead out of the folder.
    return work / ("other-" + "".join(filter(str.isalnum, fingerprint))[:12])


def _set_aside(work: Path, owner: str) -> None:
    """Move one configuration's checkpoints out of the way, after the records of its steps."""
    folder = _folder_of(work, owner)
    folder.mkdir(exist_ok=True)
    for name in RECORDS:
        # Those that are there already are its own: what lies here was written after them.
        if (work / name).exists() and not (folder / name).exists():
            (work / name).rename(folder / name)
    checkpoints = [saved for saved in saved_checkpoints(work) if fingerprint_of(saved) == owner]
    for checkpoint in checkpoints:
        checkpoint.rename(folder / checkpoint.name)
    log.warning(
        "%s: moved to %s, of other data or another configuration, which goes on from there if it is trained again; "
        "delete that folder if it will not be",
        _names(checkpoints),
        folder,
    )


def _take_back(work: Path, fingerprint: str) -> None:
    """Move this configuration's checkpoints back, then the records of its steps."""
    folder = _folder_of(work, fingerprint)
    if not folder.is_dir():
        return
    checkpoints = saved_checkpoints(folder)
    for checkpoint in checkpoints:
        place = work / checkpoint.name
        if place.exists():
            # Whatever else was whole has been set aside.
            remove_checkpoint(place)
        checkpoint.rename(place)
    for name in RECORDS:
        if (folder / name).exists():
            if (work / name).is_dir():
                shutil.rmtree(work / name)
            os.replace(folder / name, work / name)
    if not os.listdir(folder):
        folder.rmdir()
    if checkpoints:
        log.info("%s: taken back from %s, of this configuration", _names(checkpoints), folder)


def _names(checkpoints: list[Path]) -> str:
    return ", ".join(checkpoint.name for checkpoint in reversed(checkpoints))
