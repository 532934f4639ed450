"""The manifest of a dataset: ``manifest.json``, written last, lists the shards with their counts and hashes."""

from pathlib import Path

from sgt.atomic import sha256, write_json
from sgt.errors import SgtError
from sgt.json_files import read_json

# SCREENED, beside the manifest, lists the samples that training leaves out.
MANIFEST, SCREENED = "manifest.json", "screened.json"
# What a manifest has of each shard.
FIELDS = {"file", "count", "sha256"}


def shard_name(index: int) -> str:
    """File name of the shard with this index."""
    return f"shard-{index:05d}.tar"


def write_manifest(folder: Path | str, counts: dict[str, int], **about: object) -> None:
    """Write ``manifest.json``.

    Args:
        folder: of the dataset.
        counts: number of samples by the name of the shard's file.
        about: further fields (source, revision, licence, …).

    Raises:
        SgtError: there is no sample in any shard.
    """
    folder = Path(folder)
    if not sum(counts.values()):
        raise SgtError(folder, f"0 samples in {len(counts)} shards make no dataset", "request some in the study")
    shards = [{"file": name, "count": count, "sha256": sha256(folder / name)} for name, count in sorted(counts.items())]
    write_json(folder / MANIFEST, {**about, "count": sum(counts.values()), "shards": shards})


def read_manifest(folder: Path | str) -> dict:
    """The manifest of a dataset folder.

    Raises:
        SgtError: there is none (the dataset is unfinished) or it is damaged.
    """
    path, remedy = Path(folder) / MANIFEST, "make or fetch the dataset again"
    try:
        manifest = read_json(path, remedy)
    except FileNotFoundError:
        raise SgtError(path, "no manifest: the dataset is missing or unfinished", "make or fetch it again") from None
    shards = manifest.get("shards")
    if not (isinstance(shards, list) and all(isinstance(each, dict) and each.keys() >= FIELDS for each in shards)):
        raise SgtError(path, f"has no list of shards, each with {', '.join(sorted(FIELDS))}", remedy)
    return manifest


def dataset_shards(folder: Path | str) -> list[Path]:
    """The shard files that a dataset's manifest lists, in order."""
    return [Path(folder) / shard["file"] for shard in read_manifest(folder)["shards"]]
