"""``sgt fetch --adopt``: files copied by hand, to a machine without internet access, become a fetched download.

No server is contacted. Files are compared with the hashes of the table and of earlier fetches; a file of which no hash
is known is marked unverified until a later ``sgt fetch`` compares it with what its host lists.
"""

import logging
import re
from fnmatch import fnmatchcase
from pathlib import Path

from sgt.config.downloads import HubDownload, WebDownload
from sgt.data.fetch.files import RESERVED, RemoteFile, check_patterns, check_revision, web_files
from sgt.data.fetch.lock import Lock
from sgt.data.fetch.verify import verify_file
from sgt.data.names import is_hidden
from sgt.errors import SgtError

log = logging.getLogger("sgt")
# How hubs name the files that one large file was split into.
_SPLIT = re.compile(r"(?P<begin>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<end>\..*)")


def adopt(entry: HubDownload | WebDownload, folder: Path, lock: Lock) -> None:
    """Record the files in the folder as fetched.

    Raises:
        SgtError: a file is missing, of another kind than its name says, or has another size or hash than expected.
    """
    if isinstance(entry, HubDownload):
        check_revision(entry, lock.revision)
    files = web_files(entry) if isinstance(entry, WebDownload) else _hub_files(entry, folder, lock)
    if missing := [file.path for file in files if not (folder / file.path).is_file()]:
        raise SgtError(folder, f"{len(missing)} of {len(files)} files are missing, e.g. {missing[0]}", "copy them here")
    if isinstance(entry, HubDownload):
        lock.revision = lock.revision or entry.revision
    for file in files:
        path = folder / file.path
        lock.add(file.path, path.stat().st_size, verify_file(file, path), unverified=not file.digests)
    lock.wanted = sorted(file.path for file in files)
    lock.save()
    log.info("%s: %d files adopted", folder, len(files))


def _hub_files(entry: HubDownload, folder: Path, lock: Lock) -> list[RemoteFile]:
    """The files that an earlier fetch listed, or else those in the folder that match the entry's patterns."""
    found = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    found = [path for path in found if not is_hidden(path) and path.partition("/")[0] not in RESERVED]
    paths = lock.wanted or [path for path in found if any(fnmatchcase(path, pattern) for pattern in entry.files)]
    check_patterns(entry, folder, paths, "copy what is missing here, or fix the table's files")
    _check_split_files(folder, paths)
    files = []
    for path in sorted(paths):
        known = lock.files.get(path)
        digests = {"sha256": entry.sha256[path]} if path in entry.sha256 else {}
        files.append(RemoteFile(path, str(folder / path), known.size if known else None, digests))
    return files


def _check_split_files(folder: Path, paths: list[str]) -> None:
    """Check that no file of a set ``NAME-00001-of-00004.END`` (counted from 0 or 1) is missing."""
    numbers: dict[tuple[str, str, str], set[int]] = {}
    for path in paths:
        if match := _SPLIT.fullmatch(path):
            numbers.setdefault((match["begin"], match["count"], match["end"]), set()).add(int(match["number"]))
    for (begin, count, end), found in numbers.items():
        if len(found) != int(count):
            problem = f"{len(found)} of {int(count)} files {begin}-*-of-{count}{end} are there"
            raise SgtError(folder, problem, "copy the others here")
