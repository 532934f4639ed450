"""Tar shards of samples that share a key: the one data format of the project.

A dataset is a folder of ``shard-NNNNN.tar`` and a ``manifest.json`` that is written last. A sample is every member
``KEY.EXT`` with the same ``KEY``, adjacent in the tar: ``KEY.jpg`` (the image, JPEG or PNG by its content),
``KEY.json`` (the SA-1B layout), optionally ``KEY.depth.png`` (16-bit), ``KEY.panoptic.png`` and ``KEY.stuff.png`` (the
COCO layouts). Target shards hold ``KEY.png``, or ``KEY.jpg`` where the target is the image itself, in the order of
their source shard. Archives are read in place, never extracted.
"""

import io
import json
import re
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path

from sgt.atomic import atomic_path, sha256, write_json
from sgt.errors import SgtError

MANIFEST = "manifest.json"
_MEMBER = re.compile(r"(?P<key>[A-Za-z0-9_-]+)\.(?P<ext>[a-z0-9]+(?:\.[a-z0-9]+)?)")
MAX_MEMBER_BYTES = 256 * 2**20
MAX_JSON_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Sample:
    """One sample: ``files`` maps an extension (``jpg``, ``json``, ``depth.png``) to its bytes."""

    shard: Path
    key: str
    files: dict[str, bytes]

    def get(self, extension: str) -> bytes:
        """The bytes of one member.

        Raises:
            SgtError: the sample has no such member.
        """
        if extension not in self.files:
            has = ", ".join(sorted(self.files))
            raise SgtError(
                f"{self.shard}: {self.key}", f"no .{extension} member (it has {has})", "make the shard again with it"
            )
        return self.files[extension]

    def json(self) -> dict:
        """The parsed ``KEY.json``, the same object every time.

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
    """Write one shard: used as a context manager, the tar appears whole when the block ends without error.

    The bytes depend on the members alone: owner, mode and time are constant.
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
        """Append one sample; ``files`` maps extensions to bytes."""
        for extension, content in files.items():
            name = f"{key}.{extension}"
            if not _MEMBER.fullmatch(name):
                raise SgtError(self.path, f"{name!r} cannot name a member", "use letters, digits, - and _ in keys")
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o644
            self._tar.addfile(info, io.BytesIO(content))
        self.count += 1

    def __exit__(self, kind, error, trace) -> None:
        self._opened.__exit__(kind, error, trace)


@dataclass(frozen=True)
class Member:
    """Where one file of a sample lies in a shard: ``size`` bytes from ``offset``."""

    key: str
    extension: str
    offset: int
    size: int


def scan_shard(path: Path | str) -> Iterator[Member]:
    """The members of one shard, in order, from the tar headers alone.

    Raises:
        SgtError: the file is missing, truncated or not a tar, or a member is not a plain ``KEY.EXT`` file.
    """
    path, last, end = Path(path), None, 0
    try:
        size = path.stat().st_size
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                where = f"{path}: {member.name!r}"
                match = _MEMBER.fullmatch(member.name.removeprefix("./"))
                if not member.isreg() or member.issparse() or not match:
                    raise SgtError(where, "not a plain KEY.EXT member", "do not use this archive")
                if member.size > MAX_MEMBER_BYTES:
                    raise SgtError(where, f"{member.size} bytes is too large", "do not use this archive")
                last, end = match["key"], member.offset_data + member.size
                if end > size:
                    raise SgtError(path, f"truncated in {member.name}", "make or fetch the shard again")
                yield Member(last, match["ext"], member.offset_data, member.size)
            # tarfile takes a damaged header, and the end of a file cut between two members, for the end of the archive.
            tar.fileobj.seek(tar.offset)
            if tar.fileobj.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
                raise SgtError(path, f"truncated or damaged after {last}", "make or fetch the shard again")
    except FileNotFoundError:
        raise SgtError(path, "no such shard", "make it first (sgt toyworld, sgt shards or sgt render)") from None
    except (tarfile.TarError, EOFError) as error:
        raise SgtError(path, f"truncated or not a tar ({error})", "make or fetch the shard again") from None


def read_shard(path: Path | str) -> Iterator[Sample]:
    """Stream the samples of one shard, in order; no more than one is held.

    Raises:
        SgtError: as :func:`scan_shard` does.
    """
    path = Path(path)
    for key, members in groupby(scan_shard(path), key=lambda member: member.key):
        yield read_sample(path, key, members)


def read_sample(path: Path, key: str, members: Iterable[Member]) -> Sample:
    """One sample from where its members lie."""
    with open(path, "rb", buffering=0) as file:
        return Sample(path, key, {member.extension: _read_exactly(file, path, member) for member in members})


def _read_exactly(file: io.FileIO, path: Path, member: Member) -> bytes:
    file.seek(member.offset)
    content = file.read(member.size)
    if len(content) < member.size:
        raise SgtError(path, f"truncated in {member.key}.{member.extension}", "make or fetch the shard again")
    return content


def shard_name(index: int) -> str:
    """File name of the shard with this index."""
    return f"shard-{index:05d}.tar"


def write_manifest(folder: Path | str, counts: dict[str, int], **about: object) -> None:
    """Write ``manifest.json``: per-shard count and sha256, and ``about`` (source, revision, licence, …)."""
    folder = Path(folder)
    shards = [{"file": name, "count": count, "sha256": sha256(folder / name)} for name, count in sorted(counts.items())]
    write_json(folder / MANIFEST, {**about, "count": sum(counts.values()), "shards": shards})


def read_manifest(folder: Path | str) -> dict:
    """The manifest of a dataset folder.

    Raises:
        SgtError: there is none (the dataset is unfinished) or it is damaged.
    """
    path = Path(folder) / MANIFEST
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise SgtError(path, "no manifest: the dataset is missing or unfinished", "make or fetch it again") from None
    except ValueError as error:
        raise SgtError(path, f"not valid JSON ({error})", "make or fetch the dataset again") from None


def dataset_shards(folder: Path | str) -> list[Path]:
    """The shard files that a dataset's manifest names, in order."""
    return [Path(folder) / shard["file"] for shard in read_manifest(folder)["shards"]]
