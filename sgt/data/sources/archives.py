"""Zip files read in place, with limits against hostile ones."""

import lzma
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sgt.atomic import naming
from sgt.data.names import is_hidden, leads_elsewhere, parts_of
from sgt.data.shards import MAX_JSON_BYTES, MAX_MEMBER_BYTES
from sgt.data.sources.json_lists import list_items
from sgt.errors import SgtError, system_error

# COCO's are far smaller: 0.5 GB of JSON, 1 GB of maps.
MAX_JSON = 8 * 2**30
MAX_NESTED = 64 * 2**30
_READ = (".jpg", ".jpeg", ".png", ".json", ".zip")
_BROKEN = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    lzma.LZMAError,
    NotImplementedError,
    RuntimeError,
    EOFError,
    OSError,
)


class Archive:
    """The members of a zip file by the last part of their name; the folders in their names are ignored.

    Attributes:
        path: of the zip file.
        passed_over: names of hidden files, as operating systems add them, and of files that no source reads.

    Raises:
        SgtError: the file is not a zip, or a member is a link or a device, or its name leads out of the archive.
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
            # Zips from systems other than Unix have 0 here, which is an ordinary file.
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

    def has(self, name: str) -> bool:
        """Whether there is a member of this name."""
        return _plain(name) in self._members

    def read(self, name: str) -> bytes:
        """The content of a member of at most ``MAX_MEMBER_BYTES``.

        Raises:
            SgtError: the member is missing, ambiguous, too large or damaged.
        """
        with self.open(name, MAX_MEMBER_BYTES) as member:
            return member.read()

    @contextmanager
    def open(self, name: str, most: int) -> Iterator[IO[bytes]]:
        """A member as a stream of at most ``most`` bytes.

        Raises:
            SgtError: the member is missing, ambiguous, too large or damaged.
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
            # The stream ends after the size that was just checked, and verifies the checksum.
            with self._zip.open(info) as member:
                yield member
        except _BROKEN as error:
            raise SgtError(where, f"damaged ({error})", "fetch the archive again") from None

    def items(self, name: str, key: str) -> Iterator[dict]:
        """The elements of the list ``key`` of a JSON member, one at a time.

        Raises:
            SgtError: the member is not JSON with such a list of objects, or a value is too large or deeply nested.
        """
        with self.open(name, MAX_JSON) as member:
            try:
                for item in list_items(member, key, MAX_JSON_BYTES):
                    if not isinstance(item, dict):
                        raise ValueError(f"{key} contains {type(item).__name__}, not objects")
                    yield item
            except ValueError as error:
                problem = f"not valid JSON ({' '.join(str(error).split())[:200]})"
                raise SgtError(f"{self.path}: {name}", problem, "fetch the archive again") from None


def _plain(name: str) -> str:
    """The last part of a name, with its suffix in lower case."""
    stem, dot, suffix = (parts_of(name) or [""])[-1].rpartition(".")
    return f"{stem}{dot}{suffix.lower()}"


def unpack_nested(archive: Archive, name: str, to: Path) -> None:
    """Copy an archive inside an archive to a file, because a compressed one cannot be read in random order.

    Raises:
        SgtError: the archive is damaged, or the copy cannot be written.
    """
    with archive.open(name, MAX_NESTED) as member, open(to, "wb") as out:
        while block := member.read(2**20):
            try:
                with naming(to):
                    out.write(block)
                    out.flush()
            except OSError as error:
                # `open` would report an OSError as damage to the archive that is being read.
                raise system_error(error) from None
