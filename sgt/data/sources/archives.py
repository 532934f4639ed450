"""Zip files read in place, with the limits that hostile ones run into."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sgt.atomic import naming
from sgt.data.shards import MAX_JSON_BYTES, MAX_MEMBER_BYTES
from sgt.data.sources.json_lists import list_items
from sgt.errors import SgtError, system_error

# What COCO has is far below: 0.5 GB of JSON, 1 GB of maps.
MAX_JSON = 8 * 2**30
MAX_NESTED = 64 * 2**30
_BROKEN = (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, EOFError, OSError)


class Archive:
    """The members of a zip by the last part of their name; the folders that they claim to be in are never used.

    Raises:
        SgtError: it is not a zip.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except _BROKEN as error:
            raise SgtError(path, f"truncated or not a zip ({error})", "fetch it again") from None
        self._members = {info.filename.rsplit("/", 1)[-1]: info for info in self._zip.infolist() if not info.is_dir()}

    def read(self, name: str) -> bytes:
        """A small member.

        Raises:
            SgtError: there is none, it is too large, or damaged.
        """
        with self.open(name, MAX_MEMBER_BYTES) as member:
            return member.read()

    @contextmanager
    def open(self, name: str, most: int) -> Iterator[IO[bytes]]:
        """A member as a stream, of at most this many bytes.

        Raises:
            SgtError: there is none, it is too large, or damaged.
        """
        info = self._members.get(name)
        where = f"{self.path}: {name}"
        if info is None:
            raise SgtError(where, "no such member", "fetch the archive again, or another one")
        if info.file_size > most:
            raise SgtError(where, f"{info.file_size} bytes is too large", "do not use this archive")
        try:
            # Never gives more than the size that was just checked, and checks what it gives.
            with self._zip.open(info) as member:
                yield member
        except _BROKEN as error:
            raise SgtError(where, f"damaged ({error})", "fetch the archive again") from None

    def items(self, name: str, key: str) -> Iterator[dict]:
        """The elements of one list of a JSON member, one at a time.

        Raises:
            SgtError: it is not JSON with such a list of objects, or nested too deeply.
        """
        with self.open(name, MAX_JSON) as member:
            try:
                for item in list_items(member, key, MAX_JSON_BYTES):
                    if not isinstance(item, dict):
                        raise ValueError(f"{key} holds {type(item).__name__}, not objects")
                    yield item
            except (RecursionError, ValueError) as error:
                problem = f"not valid JSON ({' '.join(str(error).split())[:200]})"
                raise SgtError(f"{self.path}: {name}", problem, "fetch the archive again") from None


def unpack_nested(archive: Archive, name: str, to: Path) -> None:
    """Copy an archive inside an archive to one file, since a packed one cannot be read in any order.

    Raises:
        SgtError: it is damaged, or the copy cannot be written.
    """
    with archive.open(name, MAX_NESTED) as member, open(to, "wb") as out:
        while block := member.read(2**20):
            try:
                with naming(to):
                    out.write(block)
                    out.flush()
            except OSError as error:
                # As an OSError it would pass for a fault of the archive that is being read.
                raise system_error(error) from None
