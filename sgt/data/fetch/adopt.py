"""``sgt fetch --adopt``: files that were copied by hand, to a machine without a way out, become a fetched download.

Nothing is asked of any server. What the table or an earlier fetch knows of a file is held against it; a file of which
no hash is known is marked unverified, until a later ``sgt fetch`` can compare it with what its host lists.
"""

import logging
import re
from fnmatch import fnmatchcase
from pathlib import Path

from sgt.config.downloads import HubDownload, WebDownload
from sgt.data.fetch.listing import OURS, Wanted, check_patterns, web_files
from sgt.data.fetch.lock import Lock
from sgt.data.fetch.transfer import verified
from sgt.data.names import is_hidden
from sgt.errors import SgtError

log = logging.getLogger("sgt")
# As hubs name the parts of what is in several files.
_PART = re.compile(r"(?P<begin>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<end>\..*)")


def adopt(entry: HubDownload | WebDownload, folder: Path, lock: Lock) -> None:
    """Take what is in the folder for fetched.

    Raises:
        SgtError: something is missing, of another kind than its name says, or has another size or hash than it should.
    """
    files = web_files(entry) if isinstance(entry, WebDownload) else _of_hub(entry, folder, lock)
    if missing := [file.path for file in files if not (folder / file.path).is_file()]:
        raise SgtError(folder, f"{len(missing)} of {len(files)} files are missing, e.g. {missing[0]}", "copy them here")
    if isinstance(entry, HubDownload):
        lock.revision = lock.revision or entry.revision
    for file in files:
        path = folder / file.path
        lock.add(file.path, path.stat().st_size, verified(file, path), unverified=not file.digests)
    lock.wanted = sorted(file.path for file in files)
    lock.save()
    log.info("%s: %d files adopted", folder, len(files))


def _of_hub(entry: HubDownload, folder: Path, lock: Lock) -> list[Wanted]:
    """What a fetch listed before, or else what is there and matches the table."""
    found = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    found = [path for path in found if not is_hidden(path) and path.partition("/")[0] not in OURS]
    paths = lock.wanted or [path for path in found if any(fnmatchcase(path, pattern) for pattern in entry.files)]
    check_patterns(entry, folder, paths, "copy what is missing here, or mend the table's files")
    _check_parts(folder, paths)
    return [_wanted(entry, folder, lock, path) for path in sorted(paths)]


def _wanted(entry: HubDownload, folder: Path, lock: Lock, path: str) -> Wanted:
    known = lock.files.get(path)
    digests = {"sha256": entry.sha256[path]} if path in entry.sha256 else {}
    return Wanted(path, str(folder / path), known.size if known else None, digests, {})


def _check_parts(folder: Path, paths: list[str]) -> None:
    """See that of what is in several files (``NAME-00001-of-00004.END``, from 0 or 1) none is missing."""
    numbers: dict[tuple[str, str, str], set[int]] = {}
    for path in paths:
        if match := _PART.fullmatch(path):
            numbers.setdefault((match["begin"], match["count"], match["end"]), set()).add(int(match["number"]))
    for (begin, count, end), found in numbers.items():
        if len(found) != int(count):
            problem = f"{len(found)} of {int(count)} files {begin}-*-of-{count}{end} are there"
            raise SgtError(folder, problem, "copy the others here")
