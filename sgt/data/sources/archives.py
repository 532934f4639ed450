"""Zip files read in place, with the limits that hostile ones run into."""

import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sgt.atomic import naming
from sgt.data.names import is_hidden, leads_elsewhere, parts_of
from sgt.data.shards import MAX_JSON_BYTES, MAX_MEMBER_BYTES
from sgt.data.sources.json_lists import list_items
from sgt.errors import SgtError, system_error

# What COCO has is far below: 0.5 GB of JSON, 1 GB of maps.
MAX_JSON = 8 * 2**30
MAX_NESTED = 64 * 2**30
_READ = (".jpg", ".jpeg", ".png", ".json", ".zip")
_BROKEN = (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, EOFError, OSError)


class Archive:
    """The members of a zip by the last part of their name; the folders that they claim to be in are never used.

    Attributes:
        path: of the zip.
        passed_over: names of hidden files, as other systems leave them, and of others that no source reads.

    Raises:
        SgtError: it is not a zip, or a member is a link, a device, or named to lead elsewhere.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.passed_over: list[str] = []
        self._members: dict[str, list[zipfile.ZipInfo]] = {}
        try:
            self._zip = zipfile.ZipFile(path)
        except _BROKEN as error:
            raise SgtError(path, f"truncated or not a zip ({error})", "fetch it again") from None
        for info in self._zip.infolist():
            # What a zip of another system says of the kind of file is 0: an ordinary one.
            kind = stat.S_IFMT(info.external_attr >> 16)
            if leads_elsewhere(info.orig_filename) or kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                problem = "its name leads elsewhere, or it is a link or device"
                raise SgtError(f"{path}: {info.orig_filename!r}", problem, "do not use this archive")
            if info.is_dir():
                continue
            if is_hidden(info.filename) or not info.filename.lower().endswith(_READ):
                self.passed_over.append(info.filename)
            else:
                self._members.setdefault(_plain(info.filename), []).append(info)

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
            SgtError: there is none, or more than one, it is too large, or damaged.
        """
        found = self._members.get(_plain(name), [])
        where = f"{self.path}: {name}"
        if not found:
            example = next(iter(self._members), "nothing")
            raise SgtError(where, f"no such member (there is {example})", "fetch the archive again, or another one")
        if len(found) > 1:
            raise SgtError(where, f"there {len(found)} times", "fetch the archive again, or another one")
        (info,) = found
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


def _plain(name: str) -> str:
    """The last part of a name, its suffix in lower case."""
    stem, dot, suffix = (parts_of(name) or [""])[-1].rpartition(".")
    return f"{stem}{dot}{suffix.lower()}"


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
