"""Whether a file has the kind, size and digests that it should have."""

import hashlib
import os
from pathlib import Path

from sgt.data.fetch.content import REMEDY, check_content, shown
from sgt.data.fetch.files import RemoteFile
from sgt.errors import SgtError

CHUNK = 2**20
REMOVE = "remove it to fetch it again"


def verify_file(file: RemoteFile, path: Path) -> str:
    """The sha256 of a file in its place, in hex.

    Raises:
        SgtError: it is of another kind than its name says, or has another size or digest than expected.
    """
    check_content(file.path, str(path), path, REMOVE)
    return _checked_digest(file, path, REMOVE)


def verify_part(file: RemoteFile, part: Path) -> str:
    """The sha256, in hex, of a file that has just arrived; it is flushed to the disk.

    Raises:
        SgtError: as :func:`verify_file`; the part is removed.
    """
    try:
        check_content(file.path, file.url, part, REMEDY)
        digest = _checked_digest(file, part, "run the command again; if this happens again, do not use the file")
    except SgtError:
        part.unlink()
        raise
    with open(part, "rb") as content:
        os.fsync(content.fileno())
    return digest


def _checked_digest(file: RemoteFile, path: Path, remedy: str) -> str:
    where, size = f"{shown(file.url)} ({file.path})", path.stat().st_size
    if file.size not in (None, size):
        raise SgtError(where, f"has {size} bytes, expected {file.size}", remedy)
    hashes = {"sha256": hashlib.sha256()}
    if "md5" in file.digests:
        hashes["md5"] = hashlib.md5(usedforsecurity=False)
    if "git" in file.digests:
        hashes["git"] = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with open(path, "rb") as content:
        while block := content.read(CHUNK):
            for each in hashes.values():
                each.update(block)
    found = {name: each.hexdigest() for name, each in hashes.items()}
    for name, expected in file.digests.items():
        if found[name] != expected:
            raise SgtError(where, f"its {name} is {found[name]}, expected {expected}", remedy)
    return found["sha256"]
