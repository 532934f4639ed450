"""Random access to the samples of a shard dataset, read in place."""

import logging
from collections.abc import Collection
from dataclasses import dataclass
from itertools import groupby, zip_longest
from pathlib import Path

from sgt.data.manifest import read_manifest
from sgt.data.shards import Member, Sample, read_sample, scan_shard
from sgt.errors import SgtError
from sgt.json_files import json_fields

log = logging.getLogger("sgt")


@dataclass(frozen=True)
class _Entry:
    shard: Path
    key: str
    members: tuple[Member, ...]


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
            entries = [
                _Entry(shard, key, tuple(members))
                for key, members in groupby(scan_shard(shard), key=lambda member: member.key)
            ]
            if counts is not None and len(entries) != counts[position]:
                raise SgtError(
                    shard, f"{len(entries)} samples, {counts[position]} in the manifest", "make or fetch it again"
                )
            self._entries += entries

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> Sample:
        entry = self._entries[index]
        return read_sample(entry.shard, entry.key, entry.members)

    def name(self, index: int) -> str:
        """Shard and key of a sample, for messages."""
        entry = self._entries[index]
        return f"{entry.shard}: {entry.key}"

    @property
    def keys(self) -> list[str]:
        """Keys of all samples, in order."""
        return [entry.key for entry in self._entries]

    def place(self, index: int) -> tuple[str, str]:
        """File name of a sample's shard, and its key."""
        entry = self._entries[index]
        return entry.shard.name, entry.key

    def first(self, limit: int | None) -> "ShardDataset":
        """The dataset with its first samples alone; None for all of them.

        Raises:
            SgtError: it has fewer.
        """
        if limit is None:
            return self
        if limit > len(self):
            where = self._entries[0].shard.parent if self._entries else "dataset"
            raise SgtError(where, f"limit {limit} is above its {len(self)} samples", "lower it in the study")
        kept = ShardDataset([])
        kept._entries = self._entries[:limit]
        return kept

    def without(self, left_out: Collection[tuple[str, str]]) -> "ShardDataset":
        """The dataset without some samples, given by the file name of their shard and their key."""
        kept = ShardDataset([])
        kept._entries = [entry for entry in self._entries if (entry.shard.name, entry.key) not in left_out]
        return kept


def open_dataset(folder: Path, names: Collection[str] | None = None) -> ShardDataset:
    """The dataset in a folder, as listed in its manifest.

    Args:
        folder: of the dataset.
        names: file names of the shards to open; None for all.
    """
    shards = [shard for shard in read_manifest(folder)["shards"] if names is None or shard["file"] in names]
    return ShardDataset([folder / shard["file"] for shard in shards], [shard["count"] for shard in shards])


def open_targets(
    folder: Path, source: ShardDataset, shards: list[str], left_out: Collection[tuple[str, str]] = ()
) -> tuple[ShardDataset, ShardDataset]:
    """A proxy's targets and the samples they were rendered from, aligned by key.

    Both lack the samples that were refused in rendering, which the reports beside the targets list, and those in
    ``left_out``.

    Args:
        folder: of the target shards and their reports.
        source: the dataset that the targets were rendered from.
        shards: file names of the source's shards.
        left_out: samples by the file name of their shard and their key.

    Returns:
        The samples that have a target, and their targets.

    Raises:
        SgtError: the keys of the targets are not those of the source without the refused samples.
    """
    refused = {(shard, key) for shard in shards for key in _refused(folder / shard)}
    if refused:
        log.info("%s: %d of %d samples have no target and are left out", folder, len(refused), len(source))
    kept, targets = source.without(refused), ShardDataset([folder / shard for shard in shards])
    for target, wanted in zip_longest(targets.keys, kept.keys):
        if target != wanted:
            problem = f"has {target or 'no more'} where the source has {wanted or 'no more'}"
            raise SgtError(folder, f"{problem}: the targets are not those of the source", "render them again")
    return kept.without(left_out), targets.without(left_out)


def _refused(target: Path) -> list[str]:
    path = target.with_suffix(".json")
    try:
        with json_fields(path, "a report of targets", "render them again") as report:
            return [refusal["key"] for refusal in report["refused"]]
    except FileNotFoundError:
        raise SgtError(path, "no report beside the targets", "render them again") from None
