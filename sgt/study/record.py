"""Reading the records of results: the identity of each, and the hashes of its files.

All functions raise :class:`SgtError` where a record is damaged, was edited, or has no identity.
"""

from pathlib import Path

from sgt.config.study import ARM_WITHOUT_TRAINING
from sgt.data.manifest import read_manifest
from sgt.errors import SgtError
from sgt.identity import UNKNOWN, Identity, read_record
from sgt.json_files import json_fields
from sgt.study.loaded import LoadedStudy
from sgt.study.runs import Run

FINAL = "final"
# What decided a result, and the SHA-256 of its files, by path.
Recorded = tuple[Identity | str, dict[Path, str]]


def read_run(study: LoadedStudy, run: Run) -> dict:
    """A run's ``run.json``.

    Raises:
        SgtError: the run is not finished, or its record was edited.
    """
    path = study.run_dir(run) / "run.json"
    if not path.exists():
        name = "transplant" if run in study.transplant_runs else "train"
        command = f"sgt {name} {study.path} --model {run.model} --arm {run.arm} --seed {run.seed}"
        raise SgtError(path, "the run is not finished", f"run `{command}`")
    return read_record(path)


def checkpoint_of(study: LoadedStudy, run: Run) -> Path:
    """Folder of a run's weights, wherever its results lie now; of the arm ``base`` the model's own."""
    if run.arm == ARM_WITHOUT_TRAINING:
        return Path(study.models[run.model].checkpoint)
    return study.run_dir(run) / FINAL


def manifest_record(folder: Path) -> Recorded:
    """Of a dataset; what decided one that was written by hand is not known."""
    manifest = read_manifest(folder)
    files = {folder / shard["file"]: shard["sha256"] for shard in manifest["shards"]}
    return manifest.get("identity", UNKNOWN), files


def screening_record(path: Path) -> Recorded:
    """Of the screening of a dataset."""
    with json_fields(path, "the screening of a dataset", "delete it to screen the data again") as screening:
        return {"manifest": screening["judged_for"]["manifest_sha256"]}, {}


def targets_record(shard: Path) -> Recorded:
    """Of a shard of targets."""
    path = shard.with_suffix(".json")
    with json_fields(path, "a report of targets", "delete it to render them again") as report:
        return identity_in(path, report), {shard: report["sha256"]}


def run_record(path: Path) -> Recorded:
    """Of a run: its weights, and what lies beside them in the checkpoint."""
    record, folder = read_record(path), path.parent / FINAL
    files = {**record.get("files", {}), **record.get("other_files", {})}
    return identity_in(path, record), {folder / name: digest for name, digest in files.items()}


def predictions_record(path: Path) -> Recorded:
    """Of predictions, by their ``meta.json``."""
    meta = read_record(path)
    return identity_in(path, meta), {path.parent / meta["file"]: meta["predictions_sha256"]}


def judgements_record(path: Path) -> Recorded:
    """Of judgements, by their ``meta.json``."""
    meta = read_record(path)
    return identity_in(path, meta), {path.parent / meta["file"]: meta["judgements_sha256"]}


def page_record(path: Path) -> Recorded:
    """Of tables, figures or report; those of earlier versions have no hashes of their files."""
    record = read_record(path)
    return identity_in(path, record), {path.parent / name: digest for name, digest in record.get("files", {}).items()}


def treatment_record(path: Path, images: Path) -> Recorded:
    """Of the check of a proxy arm, with what the arm made."""
    record = read_record(path)
    return identity_in(path, record), {images: record["images_sha256"]}


def identity_in(path: Path, record: dict) -> Identity:
    """What decided a result, by its record."""
    if "identity" not in record:
        raise SgtError(path, "does not say what decided it: another version wrote it", "delete it to make it again")
    return record["identity"]
