"""The files that make up a download, as the table and the hub describe them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from sgt.config.downloads import HubDownload, WebDownload
from sgt.data.fetch import FETCHED, LOCK, PARTS
from sgt.data.fetch.content import shown
from sgt.errors import SgtError

if TYPE_CHECKING:
    from sgt.data.fetch.hub import HubCommit

# Names in a download's folder that belong to `sgt fetch` itself.
RESERVED = (PARTS, LOCK, FETCHED)


class CannotResume(Exception):
    """What arrived earlier is of no use: the file has to be fetched from the beginning."""


@dataclass(frozen=True)
class Body:
    """The content of a file, or the rest of it, as it arrives.

    Attributes:
        url: that answered, after all redirects.
        start: offset in bytes of the first chunk.
        size: of the whole file in bytes, if known.
        etag: the server's strong validator of this content, if it sent one and can resume.
        chunks: the bytes.
    """

    url: str
    start: int
    size: int | None
    etag: str | None
    chunks: Iterator[bytes]


@dataclass(frozen=True)
class RemoteFile:
    """One file to fetch.

    Attributes:
        path: where it goes, relative to the folder of the download.
        url: its address.
        size: in bytes, if known.
        digests: expected hex digests by algorithm: ``sha256``, ``md5``, or ``git`` (the SHA-1 of a git blob).
        headers: HTTP headers to send to this address.
        hub: the commit that it belongs to, if it is on a hub.
        xet_hash: its hash in the hub's Xet storage, if it is stored there.
    """

    path: str
    url: str
    size: int | None = None
    digests: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    hub: "HubCommit | None" = None
    xet_hash: str | None = None


def web_files(entry: WebDownload) -> list[RemoteFile]:
    """The files of an entry of the table that lists addresses.

    Raises:
        SgtError: two files have the same name, or a name is not that of a file inside the folder.
    """
    files = []
    for file in entry.files:
        digests = {name: value for name in ("sha256", "md5") if (value := getattr(file, name))}
        files.append(checked_path(RemoteFile(file.path, file.url, file.size, digests)))
    paths = [file.path for file in files]
    if duplicate := next((path for path in paths if paths.count(path) > 1), None):
        raise SgtError(duplicate, "two addresses of the table end in this name", "fix the table's files")
    return files


def check_revision(entry: HubDownload, locked: str | None) -> None:
    """Check that the revision of the table is that of earlier fetches, if both are known.

    Raises:
        SgtError: it is another.
    """
    if entry.revision and locked and entry.revision != locked:
        problem = f"lock.json has revision {locked}, the table {entry.revision}"
        raise SgtError(entry.repository, problem, "move the folder away to fetch the other one")


def check_patterns(entry: HubDownload, where: object, paths: Iterable[str], remedy: str) -> None:
    """Check that every pattern of an entry matches a file, and that every file with a hash in the table is present.

    Raises:
        SgtError: a pattern matches nothing, or a file is missing.
    """
    paths = list(paths)
    for pattern in entry.files:
        if not any(fnmatchcase(path, pattern) for path in paths):
            present = f"{len(paths)} files are there, e.g. {paths[0]!r}" if paths else "nothing is there"
            raise SgtError(where, f"no file matches {pattern!r} ({present})", remedy)
    for path in entry.sha256:
        if path not in paths:
            raise SgtError(where, f"there is no {path!r}, for which the table has a sha256", remedy)


def checked_path(file: RemoteFile) -> RemoteFile:
    """The same file.

    Raises:
        SgtError: its path could lead out of the folder of the download, or belongs to `sgt fetch` itself.
    """
    parts = file.path.split("/")
    plain = all(part not in ("", ".", "..") and part.isprintable() and len(part) < 200 for part in parts)
    if not plain or "\\" in file.path or PurePosixPath(file.path).is_absolute() or parts[0] in RESERVED:
        raise SgtError(shown(file.url), f"{file.path!r} is not a valid file name", "do not trust this source")
    return file
