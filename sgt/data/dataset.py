"""Random access to the samples of a shard dataset, read in place."""

import logging
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterator
from itertools import accumulate, zip_longest
from pathlib import Path

import numpy as np

from sgt.data.manifest import read_manifest
from sgt.data.shard_index import ShardIndex, index_shards
from sgt.data.shards import Sample, read_sample
from sgt.errors import SgtError
from sgt.json_files import json_fields

log = logging.getLogger("sgt")


class ShardDataset:
    """The samples of some shards, by index; of each, only where it lies is in memory, about 40 bytes.

    Args:
        shards: tar files, in order.
        counts: expected number of samples per shard, from the manifest.

    Raises:
        SgtError: a shard is missing, truncated, or holds another number of samples.
    """

    def __init__(self, shards: list[Path], counts: list[int] | None = None) -> None:
        self._shards = index_shards(shards)
        for position, shard in enumerate(self._shards):
            if counts is not None and len(shard) != counts[position]:
                problem = f"{len(shard)} samples, {counts[position]} in the manifest"
                raise SgtError(shard.path, problem, "make or fetch it again")
        # The number of each shard's first sample, and of all samples.
        self._starts = [0, *accumulate(map(len, self._shards))]
        # The numbers of the samples that are in the dataset, ascending; None of all.
        self._chosen: np.ndarray | None = None

    def __len__(self) -> int:
        return self._starts[-1] if self._chosen is None else len(self._chosen)

    def __getitem__(self, index: int) -> Sample:
        shard, place = self._locate(index)
        return read_sample(shard.path, shard.key(place), shard.members(place))

    @property
    def nbytes(self) -> int:
        """Size of the arrays that are held in memory."""
        return sum(shard.nbytes for shard in self._shards) + (0 if self._chosen is None else self._chosen.nbytes)

    def name(self, index: int) -> str:
        """Shard and key of a sample, for messages."""
        shard, place = self._locate(index)
        return f"{shard.path}: {shard.key(place)}"

    def key(self, index: int) -> str:
        """The key of a sample."""
        shard, place = self._locate(index)
        return shard.key(place)

    def place(self, index: int) -> tuple[str, str]:
        """File name of a sample's shard, and its key."""
        shard, place = self._locate(index)
        return shard.path.name, shard.key(place)

    @property
    def keys(self) -> list[str]:
        """Keys of all samples, in order; of millions, :meth:`each_key` holds few at once."""
        return list(self.each_key())

    def each_key(self) -> Iterator[str]:
        """The keys of all samples, in order, one at a time."""
        for first, shard in zip(self._starts, self._shards, strict=False):
            keys = shard.keys()
            if self._chosen is None:
                yield from keys
            else:
                # Of the same type, or all of the array would be converted for each shard.
                ends = np.array([first, first + len(shard)], self._chosen.dtype)
                start, end = np.searchsorted(self._chosen, ends)
                yield from (keys[number - first] for number in self._chosen[start:end].tolist())

    def indices(self, places: Collection[tuple[str, str]]) -> np.ndarray:
        """Indices of samples that are given by the file name of their shard and their key, ascending.

        Those that the dataset does not have are left out.
        """
        wanted = defaultdict(set)
        for file, key in places:
            wanted[file].add(key)
        found = [
            first + place
            for first, shard in zip(self._starts, self._shards, strict=False)
            if (keys := wanted.get(shard.path.name))
            for place, key in enumerate(shard.keys())
            if key in keys
        ]
        numbers = np.array(found, np.int64)
        return numbers if self._chosen is None else np.flatnonzero(np.isin(self._chosen, numbers))

    def first(self, limit: int | None) -> "ShardDataset":
        """The dataset with its first samples alone; None for all of them.

        Raises:
            SgtError: it has fewer.
        """
        if limit is None:
            return self
        if limit > len(self):
            where = self._shards[0].path.parent if self._shards else "dataset"
            raise SgtError(where, f"limit {limit} is above its {len(self)} samples", "lower it in the study")
        kept = np.zeros(len(self), bool)
        kept[:limit] = True
        return self.only(kept)

    def without(self, left_out: Collection[tuple[str, str]]) -> "ShardDataset":
        """The dataset without some samples, given by the file name of their shard and their key."""
        kept = np.ones(len(self), bool)
        kept[self.indices(left_out)] = False
        return self.only(kept)

    def only(self, kept: np.ndarray) -> "ShardDataset":
        """The dataset with some of its samples alone.

        Args:
            kept: bool (n,), of each sample whether it is kept.
        """
        if kept.all():
            return self
        part = ShardDataset([])
        part._shards, part._starts = self._shards, self._starts
        chosen = np.flatnonzero(kept) if self._chosen is None else self._chosen[kept]
        part._chosen = chosen.astype(np.min_scalar_type(self._starts[-1]))
        return part

    def _locate(self, index: int) -> tuple[ShardIndex, int]:
        """The shard of a sample, and its place there.

        Raises:
            IndexError: there is no such sample.
        """
        number = range(len(self))[index]
        if self._chosen is not None:
            number = int(self._chosen[number])
        of = bisect_right(self._starts, number) - 1
        return self._shards[of], number - self._starts[of]


def open_dataset(folder: Path, names: Collection[str] | None = None) -> ShardDataset:
    """The dataset in a folder, as listed in its manifest.

    Args:
        folder: of the dataset.
        names: file names of the shards to open; None for all.
    """
    shards = [shard for shard in read_manifest(folder)["shards"] if names is None or shard["file"] in names]
    return ShardDataset([folder / shard["file"] for shard in shards], [shard["count"] for shard in shards])


def open_targets(
    folder: Path,
    source: ShardDataset,
    shards: list[str],
    left_out: Collection[tuple[str, str]] = (),
    limit: int | None = None,
) -> tuple[ShardDataset, ShardDataset]:
    """A proxy's targets and the samples they were rendered from, aligned by key.

    Both lack the samples that were refused in rendering, which the reports beside the targets list, those in
    ``left_out``, and those beyond the first ``limit`` of the source.

    Args:
        folder: of the target shards and their reports.
        source: the dataset that the targets were rendered from.
        shards: file names of the source's shards.
        left_out: samples by the file name of their shard and their key.
        limit: see :meth:`ShardDataset.first`.

    Returns:
        The samples that have a target, and their targets.

    Raises:
        SgtError: the keys of the targets are not those of the source without the refused samples, or the limit is
            above the number of samples.
    """
    refused = {(shard, key) for shard in shards for key in _refused(folder / shard)}
    if refused:
        log.info("%s: %d of %d samples have no target and are left out", folder, len(refused), len(source))
    rendered, wanted = np.ones(len(source), bool), np.ones(len(source), bool)
    rendered[source.indices(refused)] = False
    wanted[source.indices(left_out)] = False
    wanted[len(source.first(limit)) :] = False
    kept, targets = source.only(rendered), ShardDataset([folder / shard for shard in shards])
    for target, key in zip_longest(targets.each_key(), kept.each_key()):
        if target != key:
            problem = f"has {target or 'no more'} where the source has {key or 'no more'}"
            raise SgtError(folder, f"{problem}: the targets are not those of the source", "render them again")
    return kept.only(wanted[rendered]), targets.only(wanted[rendered])


def _refused(target: Path) -> list[str]:
    path = target.with_suffix(".json")
    try:
        with json_fields(path, "a report of targets", "render them again") as report:
            return [refusal["key"] for refusal in report["refused"]]
    except FileNotFoundError:
        raise SgtError(path, "no report beside the targets", "render them again") from None
