"""What decides a dataset, and what its content is, by the hashes in records: no shard is read."""

import json
from pathlib import Path

from sgt.config.datasets import Dataset, Toyworld
from sgt.data.fetch import FETCHED
from sgt.data.shards import MANIFEST, SCREENED, read_manifest
from sgt.data.toyworld import GENERATOR_VERSION
from sgt.errors import SgtError
from sgt.identity import UNKNOWN, Identity, digest

# Raised by whoever changes what becomes of a download.
CONVERTER_VERSION = 1


def dataset_identity(spec: Dataset, download: Path | None = None) -> Identity:
    """What decides a dataset's shards.

    Args:
        spec: the dataset, as a study has it.
        download: the folder that it is made from, unless it is made up here.
    """
    if isinstance(spec, Toyworld):
        return {"spec": spec.model_dump(mode="json"), "generator": GENERATOR_VERSION}
    chosen = spec.model_dump(mode="json", exclude={"download"})
    return {"spec": chosen, "download": fetched_content(download), "converter": CONVERTER_VERSION}


def fetched_content(folder: Path) -> str:
    """Hash of everything that was fetched into a folder; unknown where nothing is.

    Raises:
        SgtError: the record of what was fetched is damaged.
    """
    path = folder / FETCHED
    try:
        files = json.loads(path.read_text(encoding="utf-8"))["files"]
        return digest({name: file["sha256"] for name, file in files.items()})
    except FileNotFoundError:
        return UNKNOWN
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SgtError(path, f"not a record of what was fetched ({error!r})", "run `sgt fetch` again") from None


def dataset_content(folder: Path) -> str:
    """Hash of a dataset's shards and their order; unknown where it is not there.

    Raises:
        SgtError: its manifest is damaged.
    """
    if not (folder / MANIFEST).exists():
        return UNKNOWN
    return digest([(shard["sha256"], shard["count"]) for shard in read_manifest(folder)["shards"]])


def left_out(folder: Path) -> list | str:
    """Shard and key of the samples of a dataset that training leaves out; unknown where it was not screened.

    Raises:
        SgtError: the verdict is damaged.
    """
    path = folder / SCREENED
    try:
        return json.loads(path.read_text(encoding="utf-8"))["left_out"]
    except FileNotFoundError:
        return UNKNOWN
    except (ValueError, KeyError, TypeError) as error:
        raise SgtError(path, f"not a verdict on a dataset ({error!r})", "delete it to screen the data again") from None
