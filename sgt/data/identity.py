"""What decides a dataset, and the hash of its content, from the hashes in records: no shard is read."""

from pathlib import Path

from sgt.config.datasets import Dataset, Images, Toyworld
from sgt.data.fetch import FETCHED
from sgt.data.manifest import MANIFEST, SCREENED, read_manifest
from sgt.data.names import escaped
from sgt.data.picture_hashes import PictureHashes
from sgt.data.pictures import drawn_pictures
from sgt.data.toyworld import GENERATOR_VERSION
from sgt.identity import UNKNOWN, Identity, digest
from sgt.json_files import json_fields

# To be incremented with any change in how a download becomes shards.
CONVERTER_VERSION = 1


def dataset_identity(spec: Dataset, source: Path | None = None, made: Path | None = None) -> Identity:
    """What decides a dataset's shards.

    Args:
        spec: the dataset, as the study defines it.
        source: the folder that it is made from: a download, or pictures; None for a dataset that is generated.
        made: the folder of its shards; for pictures, where hashes of those that have not changed since are kept.

    Raises:
        ValueError: there is no folder for a dataset that is made from one.
    """
    if isinstance(spec, Toyworld):
        return {"spec": spec.model_dump(mode="json"), "generator": GENERATOR_VERSION}
    if source is None:
        raise ValueError(f"{spec.source} is made from files: name their folder")
    if isinstance(spec, Images):
        chosen = spec.model_dump(mode="json", exclude={"folder", "licence"})
        return {"spec": chosen, "pictures": _pictures_content(spec, source, made), "converter": CONVERTER_VERSION}
    chosen = spec.model_dump(mode="json", exclude={"download"})
    return {"spec": chosen, "download": fetched_content(source), "converter": CONVERTER_VERSION}


def _pictures_content(spec: Images, folder: Path, made: Path | None) -> str:
    """Hash of the names and contents of the pictures that a dataset has; ``UNKNOWN`` if their folder is not there.

    A picture that is missing of those wanted makes another hash, so that making the dataset again names it.
    """
    if not folder.is_dir():
        return UNKNOWN
    hashes = PictureHashes(made)
    return digest([(escaped(file.name), hashes.of(file)) for file in drawn_pictures(folder, spec.images, spec.seed)])


def fetched_content(folder: Path) -> str:
    """Hash of everything that was fetched into a folder; ``UNKNOWN`` if nothing was.

    Raises:
        SgtError: the record of what was fetched is damaged.
    """
    files = fetched_files(folder)
    return UNKNOWN if files is None else digest(files)


def fetched_files(folder: Path) -> dict[str, str] | None:
    """SHA-256 of each file that was fetched into a folder, by its path there; None if nothing was.

    Raises:
        SgtError: the record of what was fetched is damaged.
    """
    try:
        with json_fields(folder / FETCHED, "a record of what was fetched", "run `sgt fetch` again") as record:
            return {name: file["sha256"] for name, file in record["files"].items()}
    except FileNotFoundError:
        return None


def fetched_revision(folder: Path) -> str | None:
    """The commit of a hub's repository that was fetched into a folder; None if none was, or it is not known.

    Raises:
        SgtError: the record of what was fetched is damaged.
    """
    try:
        with json_fields(folder / FETCHED, "a record of what was fetched", "run `sgt fetch` again") as record:
            return record.get("revision")
    except FileNotFoundError:
        return None


def dataset_content(folder: Path) -> str:
    """Hash of a dataset's shards and their order; ``UNKNOWN`` if it is not there.

    Raises:
        SgtError: its manifest is damaged.
    """
    if not (folder / MANIFEST).exists():
        return UNKNOWN
    return digest([(shard["sha256"], shard["count"]) for shard in read_manifest(folder)["shards"]])


def left_out(folder: Path) -> list | str:
    """Shard and key of each sample of a dataset that training leaves out; ``UNKNOWN`` if it was not screened.

    Raises:
        SgtError: the record of the screening is damaged.
    """
    try:
        path, remedy = folder / SCREENED, "delete it to screen the data again"
        with json_fields(path, "the screening of a dataset", remedy) as screening:
            return screening["left_out"]
    except FileNotFoundError:
        return UNKNOWN
