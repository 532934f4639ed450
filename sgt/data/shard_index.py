"""Where the samples of shards are, in compact arrays, kept in a file beside large shards.

Random access needs to know where each member of each sample lies. Reading that from the headers of a tar takes as long
as reading its small samples, so it is written once to ``shards.index`` in the folder of the shards. As git does with
its files, a shard is taken to be as it was indexed while its size and times are the same; one of these is that of the
last change of its inode (ctime), so that setting a modification time hides no change. Without that file, or where it
cannot be written, opening shards is slower and gives the same.

The file is a line of JSON (version, and of each shard a :class:`_Entry`), then the bytes of each shard's arrays.
"""

import json
import logging
import os
import time
import zlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from sgt.atomic import atomic_path
from sgt.data.shards import Member, scan_shard

log = logging.getLogger("sgt")

INDEX = "shards.index"
VERSION = 1
# Scanning fewer samples takes less than a second or two: no file is written for them.
WRITTEN_FROM = 10_000
# Seconds after its last change during which a shard may change again and have the same times, whose resolution is
# coarse on some file systems.
SETTLED = 2.0
# Of tar, which pads headers and contents to whole blocks.
_BLOCK = 512


@dataclass(frozen=True)
class _Entry:
    """What describes one shard's arrays in the file.

    Attributes:
        file: name of the shard.
        state: of the shard when it was indexed: see :func:`_state`.
        samples, members, key_bytes: lengths of the arrays.
        extensions: of its members, each once.
        wide: whether a number does not fit 4 bytes.
        crc32: of all other fields and the arrays' bytes.
    """

    file: str
    state: tuple[int, ...]
    samples: int
    members: int
    key_bytes: int
    extensions: tuple[str, ...]
    wide: bool
    crc32: int

    @property
    def arrays(self) -> list[tuple[str, int]]:
        """Type and length of each array, in order."""
        number, code = "<u8" if self.wide else "<u4", "<u1" if len(self.extensions) <= 256 else "<u4"
        of_samples, of_members = [(number, self.samples)] * 2, [(number, self.members)] * 2
        return [*of_samples, *of_members, (code, self.members), ("<u1", self.key_bytes)]

    @property
    def bytes(self) -> int:
        """Size of the arrays in the file."""
        return sum(np.dtype(kind).itemsize * length for kind, length in self.arrays)


class ShardIndex:
    """The samples of one shard: their keys, and where their members are. About 40 bytes for a sample of two members.

    Args:
        path: of the shard.
        entry: describes ``content``.
        content: the bytes of the arrays.

    Attributes:
        nbytes: of the arrays.
    """

    def __init__(self, path: Path, entry: _Entry, content: bytes) -> None:
        self.path, self.nbytes, self._extensions = path, len(content), entry.extensions
        arrays, offset = [], 0
        for kind, length in entry.arrays:
            arrays.append(np.frombuffer(content, kind, length, offset))
            offset += arrays[-1].nbytes
        # Where the members and the key of each sample end; of each member its first block, size and extension.
        self._member_ends, self._key_ends, self._blocks, self._sizes, self._codes, keys = arrays
        self._keys = keys.data

    def __len__(self) -> int:
        return len(self._key_ends)

    def key(self, place: int) -> str:
        """The key of a sample."""
        start, end = _range(self._key_ends, place)
        return str(self._keys[start:end], "utf-8")

    def keys(self) -> list[str]:
        """The keys of all samples, in order."""
        ends = self._key_ends.tolist()
        return [str(self._keys[start:end], "utf-8") for start, end in zip([0, *ends], ends, strict=False)]

    def members(self, place: int) -> list[Member]:
        """Where the members of a sample are, in order."""
        key = self.key(place)
        return [
            Member(key, self._extensions[self._codes[each]], int(self._blocks[each]) * _BLOCK, int(self._sizes[each]))
            for each in range(*_range(self._member_ends, place))
        ]


def _range(ends: np.ndarray, place: int) -> tuple[int, int]:
    return int(ends[place - 1]) if place else 0, int(ends[place])


def index_shards(paths: Sequence[Path]) -> list[ShardIndex]:
    """The samples of some shards, in order, from the index beside them or else from the headers of the tars.

    Raises:
        SgtError: a shard that is not in the index is missing, truncated or not a tar, or holds links or devices.
    """
    found: dict[Path, ShardIndex] = {}
    for folder, of_folder in groupby(sorted(set(paths)), key=lambda path: path.parent):
        found |= _index_folder(folder, list(of_folder))
    return [found[path] for path in paths]


def _index_folder(folder: Path, paths: list[Path]) -> dict[Path, ShardIndex]:
    known = {entry.file: (entry, content) for entry, content in _read(folder / INDEX)}
    found, scanned = {}, 0
    for path in paths:
        state, began = _state(path), time.time()
        if path.name not in known or known[path.name][0].state != state:
            indexed = known[path.name] = _scanned(path, state)
            # While a shard changes, or may do so unseen, nothing is recorded of it.
            if _state(path) != state or max(state[1:]) / 1e9 > began - SETTLED:
                del known[path.name]
            else:
                scanned += indexed[0].samples
        else:
            indexed = known[path.name]
        found[path] = ShardIndex(path, *indexed)
    if scanned >= WRITTEN_FROM:
        _write(folder / INDEX, [each for file, each in known.items() if each[0].state == _state(folder / file)])
    return found


def _state(path: Path) -> tuple[int, ...]:
    """Size, and times of the last change of content and inode, in ns; of a file that is not there, zeros."""
    try:
        about = os.stat(path)
    except FileNotFoundError:
        return 0, 0, 0
    return about.st_size, about.st_mtime_ns, about.st_ctime_ns


def _scanned(path: Path, state: tuple[int, ...]) -> tuple[_Entry, bytes]:
    """What the headers of a shard have, as it is in an index."""
    keys, extensions = bytearray(), dict[str, int]()
    member_ends, key_ends, blocks, sizes, codes = columns = [array("Q") for _ in range(5)]
    for key, members in groupby(scan_shard(path), key=lambda member: member.key):
        for member in members:
            blocks.append(member.offset // _BLOCK)
            sizes.append(member.size)
            codes.append(extensions.setdefault(member.extension, len(extensions)))
        keys += key.encode()
        key_ends.append(len(keys))
        member_ends.append(len(blocks))
    wide = max([max(sizes, default=0), *blocks[-1:], len(keys)]) >= 2**32
    about = path.name, state, len(key_ends), len(blocks), len(keys), tuple(extensions), wide
    entry = _Entry(*about, crc32=0)
    arrays = [np.array(column, kind).tobytes() for column, (kind, _) in zip(columns, entry.arrays, strict=False)]
    content = b"".join([*arrays, keys])
    return replace(entry, crc32=_checksum(entry, content)), content


def _checksum(entry: _Entry, content: bytes) -> int:
    return zlib.crc32(content, zlib.crc32(json.dumps(asdict(replace(entry, crc32=0))).encode()))


def _read(path: Path) -> Iterator[tuple[_Entry, bytes]]:
    """What an index has of each shard; nothing of one that is missing, damaged, or of another version."""
    try:
        with open(path, "rb") as file:
            header = json.loads(file.readline())
            if header["version"] != VERSION:
                return
            for each in header["shards"]:
                entry = _Entry(**{**each, "state": tuple(each["state"]), "extensions": tuple(each["extensions"])})
                content = file.read(entry.bytes)
                if len(content) == entry.bytes and _checksum(entry, content) == entry.crc32:
                    yield entry, content
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, MemoryError) as error:
        log.info("%s: damaged, so the shards are read again (%r)", path, error)


def _write(path: Path, entries: list[tuple[_Entry, bytes]]) -> None:
    """Write an index, whole or not at all; where that is not possible, the next opening takes as long as this one.

    Several processes may write at once: each writes what is so, and the last one stays.
    """
    header = {"version": VERSION, "shards": [asdict(entry) for entry, _ in entries]}
    try:
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            file.write(json.dumps(header).encode() + b"\n")
            file.writelines(content for _, content in entries)
    except OSError as error:
        log.info("%s: not written (%s)", path, error.strerror)
