"""What decides a dataset, and the hash of its content, from the hashes in records: no shard is read."""

from pathlib import Path

from sgt.config.datasets import Dataset, Toyworld
from sgt.data.fetch import FETCHED
from sgt.data.manifest import MANIFEST, SCREENED, read_manifest
from sgt.data.toyworld import GENERATOR_VERSION
from sgt.identity import UNKNOWN, Identity, digest
from sgt.json_files import json_fields

# To be incremented with any change in how a download becomes shards.
CONVERTER_VERSION = 1


def dataset_identity(spec: Dataset, download: Path | None = None) -> Identity:
    """What decides a dataset's shards.

    Args:
        spec: the dataset, as the study defines it.
        download: the folder that it is made from; None for a dataset that is generated.

    Raises:
        ValueError: there is no folder for a dataset that is made from one.
    """
    if isinstance(spec, Toyworld):
        return {"spec": spec.model_dump(mode="json"), "generator": GENERATOR_VERSION}
    if download is None:
        raise ValueError(f"{spec.source} is made from a download: name its folder")
    chosen = spec.model_dump(mode="json", exclude={"download"})
    return {"spec": chosen, "download": fetched_content(download), "converter": CONVERTER_VERSION}


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
