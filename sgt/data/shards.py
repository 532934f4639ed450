"""Tar shards, whose samples are files that share a key: the one data format of the project.

A dataset is a folder of ``shard-NNNNN.tar`` and a ``manifest.json`` that is written last (:mod:`sgt.data.manifest`). A
sample is all members ``KEY.EXT`` with the same ``KEY``, adjacent in the tar: ``KEY.jpg`` (the image, which may also
have another image suffix; its content decides the format), ``KEY.json`` (the SA-1B layout), optionally
``KEY.depth.png`` (16-bit), ``KEY.panoptic.png`` and ``KEY.stuff.png`` (the COCO layouts). Target shards hold
``KEY.png``, or ``KEY.jpg`` if the target is the image itself, in the order of their source shard. Shards are read in
place, never extracted. Files that belong to no sample (hidden files, a licence) are skipped; a tar with links, devices
or names that lead out of its folder is refused as a whole.
"""

import io
import json
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from io import BufferedReader
from itertools import groupby, starmap
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from sgt.atomic import atomic_path
from sgt.data.names import sample_member
from sgt.data.tar_members import sample_members
from sgt.errors import SgtError

IMAGE_SUFFIXES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff")
MAX_MEMBER_BYTES = 256 * 2**20
MAX_JSON_BYTES = 64 * 2**20
# Read at once where a shard is read from its start to its end.
_READ_BYTES = 256 * 2**10


@dataclass(frozen=True)
class Sample:
    """One sample.

    Attributes:
        shard: path of the tar.
        key: name of the sample in it.
        files: bytes by extension (``jpg``, ``json``, ``depth.png``).
        unusable: by extension, why a member is not among ``files``: it occurs twice, or is too large.
    """

    shard: Path
    key: str
    files: dict[str, bytes]
    unusable: dict[str, str] = field(default_factory=dict)

    def get(self, extension: str) -> bytes:
        """The bytes of one member.

        Raises:
            SgtError: the sample has no such member, or it is unusable.
        """
        if extension in self.unusable:
            raise SgtError(f"{self.shard}: {self.key}", self.unusable[extension], "leave this sample out")
        if extension not in self.files:
            has = ", ".join(sorted(self.files))
            raise SgtError(
                f"{self.shard}: {self.key}", f"no .{extension} member (it has {has})", "make the shard again with it"
            )
        return self.files[extension]

    @property
    def has_image(self) -> bool:
        """Whether there is an image."""
        return any(suffix in self.files or suffix in self.unusable for suffix in IMAGE_SUFFIXES)

    @property
    def image(self) -> bytes:
        """The bytes of the image, whatever its suffix.

        Raises:
            SgtError: there is none, or more than one.
        """
        return self.get(self._image_suffix)

    @property
    def image_name(self) -> str:
        """Shard and member of the image, for messages."""
        return f"{self.shard}: {self.key}.{self._image_suffix}"

    @property
    def _image_suffix(self) -> str:
        found = [suffix for suffix in IMAGE_SUFFIXES if suffix in self.files or suffix in self.unusable]
        if len(found) != 1:
            has = f"{len(found)} images" if found else "no image"
            problem = f"{has} (it has {', '.join(sorted(self.files))})"
            raise SgtError(f"{self.shard}: {self.key}", problem, "make the shard again with one")
        return found[0]

    def json(self) -> dict:
        """The parsed ``KEY.json``; every call returns the same object.

        Raises:
            SgtError: it is absent, not valid JSON, or not an object.
        """
        return self._json

    @cached_property
    def _json(self) -> dict:
        where = f"{self.shard}: {self.key}.json"
        content = self.get("json")
        if len(content) > MAX_JSON_BYTES:
            raise SgtError(where, f"{len(content)} bytes is too large", "leave this sample out")
        try:
            value = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise SgtError(where, f"not valid JSON ({error})", "make the shard again") from None
        if not isinstance(value, dict):
            raise SgtError(where, "not a JSON object", "make the shard again")
        return value


class ShardWriter:
    """Writes one shard as a context manager: the complete tar appears when the block ends without error.

    The bytes depend on the members alone; owner, mode and time are constant.
    """

    def __init__(self, path: Path | str) -> None:
        self.path, self.count = Path(path), 0

    def __enter__(self) -> "ShardWriter":
        with ExitStack() as opened:
            temporary = opened.enter_context(atomic_path(self.path))
            self._tar = opened.enter_context(tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT))
            self._opened = opened.pop_all()
        return self

    def add(self, key: str, files: dict[str, bytes]) -> None:
        """Append one sample; ``files`` maps extensions to bytes.

        Raises:
            SgtError: a key or an extension cannot be part of a member's name.
        """
        for extension, content in files.items():
            name = f"{key}.{extension}"
            if sample_member(name) != (key, extension) or len(name) > tarfile.LENGTH_NAME:
                remedy = (
                    "use letters, digits, - and _ in keys, an image's suffix or json as extension, and at most "
                    f"{tarfile.LENGTH_NAME} characters"
                )
                raise SgtError(self.path, f"{name!r} cannot name a member", remedy)
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o644
            self._tar.addfile(info, io.BytesIO(content))
        self.count += 1

    def __exit__(self, kind, error, trace) -> None:
        self._opened.__exit__(kind, error, trace)


class Member(NamedTuple):
    """Position of one file of a sample in a shard: ``size`` bytes from ``offset``."""

    key: str
    extension: str
    offset: int
    size: int


def scan_shard(path: Path | str, passed_over: list[str] | None = None) -> Iterator[Member]:
    """The members of a shard that belong to samples, in order; only the tar headers are read.

    Args:
        path: of the shard.
        passed_over: a list that receives the names of all other files.

    Raises:
        SgtError: the file is missing, truncated or not a tar, or a member is a link or a device, or has a name that
            leads out of its folder.
    """
    with _opened(Path(path)) as file:
        yield from starmap(Member, sample_members(file, Path(path), passed_over))


def read_shard(path: Path | str) -> Iterator[Sample]:
    """The samples of one shard, in order; only one is in memory at a time.

    Raises:
        SgtError: as :func:`scan_shard` does.
    """
    path = Path(path)
    with _opened(path, _READ_BYTES) as file:
        members = starmap(Member, sample_members(file, path))
        for key, of_sample in groupby(members, key=itemgetter(0)):
            yield _read(file, path, key, of_sample, MAX_MEMBER_BYTES)


def read_sample(path: Path, key: str, members: Iterable[Member], most: int = MAX_MEMBER_BYTES) -> Sample:
    """One sample from the positions of its members; of each member at most the first ``most`` bytes."""
    with open(path, "rb", buffering=0) as file:
        return _read(file, path, key, members, most)


def _opened(path: Path, buffer_bytes: int = io.DEFAULT_BUFFER_SIZE) -> BufferedReader:
    try:
        return BufferedReader(io.FileIO(path), buffer_bytes)
    except FileNotFoundError:
        raise SgtError(path, "no such shard", "make it first (sgt toyworld, sgt shards or sgt render)") from None


def _read(file: BufferedReader | io.FileIO, path: Path, key: str, members: Iterable[Member], most: int) -> Sample:
    files: dict[str, bytes] = {}
    unusable: dict[str, str] = {}
    for _, extension, offset, size in members:
        if extension in files or extension in unusable:
            files.pop(extension, None)
            unusable[extension] = f"more than one .{extension} member"
        elif size > MAX_MEMBER_BYTES:
            unusable[extension] = f"{size} bytes is too large for a .{extension} member"
        else:
            file.seek(offset)
            content = files[extension] = file.read(wanted := min(size, most))
            if len(content) < wanted:
                raise SgtError(path, f"truncated in {key}.{extension}", "make or fetch the shard again")
    return Sample(path, key, files, unusable)
