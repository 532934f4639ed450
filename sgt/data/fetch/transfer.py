"""Fetching one file so that it can be cut off anywhere, by anyone, and go on.

What has come lies in ``.fetch/PATH.part`` and its ETag beside it. The next try asks for the rest, provided that it is
still the same file. The file gets its name only when it is whole, hashes to what it must, and is on the disk.
"""

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import httpx2

from sgt.atomic import naming
from sgt.data.fetch.content import HEAD, REMEDY, check_content, check_head, check_type, shown
from sgt.data.fetch.listing import Wanted
from sgt.data.fetch.retry import Retry
from sgt.errors import SgtError

PARTS = ".fetch"
REMOVE = "remove it to fetch it again"
CHUNK = 2**20
TIMEOUT = httpx2.Timeout(60.0, connect=30.0)


class Stopped(Exception):
    """Another file could not be fetched, so this one need not be."""


@dataclass(frozen=True)
class Transfer:
    """Files that go into one folder.

    Attributes:
        folder: of the download.
        client: to ask with; it must not send credentials on to other hosts.
        stop: set to give up.
        came: told how many bytes came.
    """

    folder: Path
    client: httpx2.Client
    stop: threading.Event
    came: Callable[[int], None]

    def fetch(self, file: Wanted) -> str:
        """Fetch one file, or the rest of it; returns its sha256.

        Raises:
            SgtError: the server refuses or fails too often, or what it gives is not what it should be.
        """
        target, part = self.folder / file.path, self.folder / PARTS / f"{file.path}.part"
        for path in (target, part):
            _make_parent(self.folder, path)
        retry = Retry(shown(file.url), self.stop)
        while not self._complete(file, part, retry):
            if self.stop.is_set():
                raise Stopped
        digest = verified(file, part)
        os.replace(part, target)
        _etag_file(part).unlink(missing_ok=True)
        return digest

    def _complete(self, file: Wanted, part: Path, retry: Retry) -> bool:
        """Ask for what is missing, and say whether anything still is."""
        have, etag = _what_is_there(part)
        if file.size is not None and have == file.size:
            return True
        headers = {**file.headers, "Accept-Encoding": "identity"}
        if have:
            headers |= {"Range": f"bytes={have}-", "If-Range": etag}
        try:
            with self.client.stream("GET", file.url, headers=headers) as response:
                if response.status_code == httpx2.codes.RANGE_NOT_SATISFIABLE:
                    # More is here than there: it is another file than the one begun.
                    part.unlink()
                    retry.after("the server has less of it than is here", 0.0)
                    return False
                if response.status_code not in (httpx2.codes.OK, httpx2.codes.PARTIAL_CONTENT):
                    retry.after_status(response)
                    return False
                check_type(file.path, str(response.url), response.headers.get("Content-Type", ""))
                decoded = _is_encoded(response, file)
                if decoded and response.status_code == httpx2.codes.PARTIAL_CONTENT:
                    part.unlink()
                    retry.after("the server packs what is left of it", 0.0)
                    return False
                start = _start(response, have, file)
                total = None if decoded else _total(response, start)
                if file.size is not None and total not in (None, file.size):
                    problem = f"the server has {total} bytes of it, {file.size} are wanted"
                    raise SgtError(shown(file.url), problem, f"check the table's revision; or {REMEDY}")
                chunks = response.iter_bytes() if decoded else response.iter_raw()
                if start == 0:
                    # What is there already is kept if this is something else.
                    head, chunks = _with_head(chunks)
                    check_head(file.path, str(response.url), head, total)
                # Of what is unpacked on the way no rest can be asked for.
                self._append(chunks, part, start, "" if decoded else response.headers.get("ETag", ""), retry)
        except httpx2.TooManyRedirects:
            raise SgtError(shown(file.url), "the server sends us in circles", REMEDY) from None
        except (httpx2.RequestError, httpx2.StreamError) as error:
            retry.after(error)
            return False
        have = part.stat().st_size
        if total is not None and have < total:
            retry.after("the connection ended early")
            return False
        return True

    def _append(self, chunks: Iterator[bytes], part: Path, start: int, etag: str, retry: Retry) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW
        with naming(part), os.fdopen(os.open(part, flags, 0o666), "wb") as out:
            out.truncate(start)
            out.seek(start)
            # A strong validator alone tells that the rest belongs to the beginning.
            _etag_file(part).write_text("" if etag.startswith("W/") else etag, encoding="utf-8")
            for chunk in chunks:
                out.write(chunk)
                retry.progressed()
                self.came(len(chunk))
                if self.stop.is_set():
                    raise Stopped


def verified(file: Wanted, path: Path) -> str:
    """The sha256 of a file that came.

    Raises:
        SgtError: it is of another kind than its name says, or has another size or digest than it should have; a part
            is removed.
    """
    came = path.suffix == ".part"
    try:
        check_content(file.path, file.url if came else str(path), path, REMEDY if came else REMOVE)
        digest = _matching_digest(file, path, "try again; if it stays so, do not use it" if came else REMOVE)
    except SgtError:
        if came:
            path.unlink()
        raise
    with open(path, "rb") as content:
        os.fsync(content.fileno())
    return digest


def _matching_digest(file: Wanted, path: Path, remedy: str) -> str:
    where, size = f"{shown(file.url)} ({file.path})", path.stat().st_size
    if file.size not in (None, size):
        raise SgtError(where, f"has {size} bytes, {file.size} are wanted", remedy)
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
    for name, wanted in file.digests.items():
        if found[name] != wanted:
            raise SgtError(where, f"its {name} is {found[name]}, not {wanted}", remedy)
    return found["sha256"]


def _make_parent(folder: Path, path: Path) -> None:
    """Make the folders above a path below ``folder``; none of them, nor the path, may be a link that leads
    elsewhere."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for each in (path, *path.relative_to(folder).parents):
        each = folder / each
        if each != folder and each.is_symlink():
            raise SgtError(each, "is a link", "remove it: nothing is written through links")


def _what_is_there(part: Path) -> tuple[int, str]:
    """How many bytes came before, if they can be gone on from, and their ETag."""
    try:
        etag = _etag_file(part).read_text(encoding="utf-8")
        size = part.stat().st_size
    except FileNotFoundError:
        return 0, ""
    return (size, etag) if etag else (0, "")


def _etag_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.etag")


def _start(response: httpx2.Response, have: int, file: Wanted) -> int:
    """Where the answer's bytes belong: the beginning, unless it is the rest that was asked for."""
    if response.status_code == httpx2.codes.OK:
        return 0
    begin = response.headers.get("Content-Range", "").removeprefix("bytes ").split("-")[0]
    if begin != str(have):
        raise SgtError(shown(file.url), f"the server answers from byte {begin or '?'}, not {have}", "try again later")
    return have


def _total(response: httpx2.Response, start: int) -> int | None:
    """The size of the whole file, by the answer's headers."""
    length = response.headers.get("Content-Length", "")
    return start + int(length) if length.isdigit() else None


def _is_encoded(response: httpx2.Response, file: Wanted) -> bool:
    """Whether the server packed the file on its own account; some say so of files that are packed themselves."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    packed = file.path.lower().endswith((".gz", ".tgz")) and encoding in ("gzip", "x-gzip")
    if encoding in ("", "identity") or packed:
        return False
    if encoding not in ("gzip", "deflate"):
        raise SgtError(shown(str(response.url)), f"serves {file.path} encoded as {encoding!r}", "try another address")
    return True


def _with_head(chunks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes, as many as a check of them needs, and all of them again."""
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= HEAD:
            break
    return head, chain([head] if head else [], chunks)
