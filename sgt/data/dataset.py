"""Random access to the samples of a shard dataset, without extracting anything."""

import tarfile
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from sgt.data.shards import Sample, read_manifest
from sgt.errors import SgtError


@dataclass(frozen=True)
class _Entry:
    shard: Path
    key: str
    members: dict[str, tuple[int, int]]


class ShardDataset:
    """The samples of some shards, by index; only the tar headers are read up front.

    Args:
        shards: tar files, in order.
        counts: expected number of samples per shard, from the manifest.

    Raises:
        SgtError: a shard is missing, truncated, or holds another number of samples.
    """

    def __init__(self, shards: list[Path], counts: list[int] | None = None) -> None:
        self._entries: list[_Entry] = []
        for position, shard in enumerate(shards):
            entries = _scan(shard)
            if counts is not None and len(entries) != counts[position]:
                raise SgtError(
                    shard, f"{len(entries)} samples, the manifest says {counts[position]}", "make or fetch it again"
                )
            self._entries += entries

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> Sample:
        entry = self._entries[index]
        files = {}
        with open(entry.shard, "rb") as file:
            for extension, (offset, size) in entry.members.items():
                file.seek(offset)
                files[extension] = file.read(size)
        return Sample(entry.shard, entry.key, files)

    def name(self, index: int) -> str:
        """Where a sample lies, for messages: its shard and key."""
        entry = self._entries[index]
        return f"{entry.shard}: {entry.key}"

    @property
    def keys(self) -> list[str]:
        """Keys of all samples, in order."""
        return [entry.key for entry in self._entries]


def open_dataset(folder: Path) -> ShardDataset:
    """The dataset of a folder, as its manifest lists it."""
    shards = read_manifest(folder)["shards"]
    return ShardDataset([folder / shard["file"] for shard in shards], [shard["count"] for shard in shards])


def open_targets(folder: Path, source: ShardDataset, shards: list[str]) -> ShardDataset:
    """A proxy's targets, aligned by key with their source.

    Args:
        folder: of the target shards.
        source: the dataset they were rendered from.
        shards: names of the source's shard files.

    Raises:
        SgtError: the keys differ from the source's.
    """
    targets = ShardDataset([folder / shard for shard in shards])
    for target, wanted in zip_longest(targets.keys, source.keys):
        if target != wanted:
            problem = f"has {target or 'no more'} where the source has {wanted or 'no more'}"
            raise SgtError(folder, f"{problem}: the targets are not those of the source", "render them again")
    return targets


def _scan(shard: Path) -> list[_Entry]:
    entries: list[_Entry] = []
    try:
        with tarfile.open(shard, "r:") as tar:
            for member in tar:
                key, _, extension = member.name.removeprefix("./").partition(".")
                if not member.isreg():
                    raise SgtError(f"{shard}: {member.name!r}", "not a plain file", "do not use this archive")
                if not entries or entries[-1].key != key:
                    entries.append(_Entry(shard, key, {}))
                entries[-1].members[extension] = (member.offset_data, member.size)
    except FileNotFoundError:
        raise SgtError(shard, "no such shard", "make it first (sgt toyworld, sgt fetch or sgt render)") from None
    except tarfile.TarError as error:
        raise SgtError(shard, f"truncated or not a tar ({error})", "make or fetch the shard again") from None
    return entries
