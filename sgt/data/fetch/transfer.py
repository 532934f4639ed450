"""Fetching one file so that it can be interrupted at any time and resumed by any process.

What has arrived is in ``.fetch/PATH.part``, and beside it which version of the file it belongs to. The file gets its
name only once it is complete, verified and flushed to the disk.
"""

import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import httpx2
from huggingface_hub.errors import HfHubHTTPError

from sgt.atomic import naming
from sgt.data.fetch import PARTS
from sgt.data.fetch.content import HEAD, REMEDY, check_head, shown
from sgt.data.fetch.files import Body, CannotResume, RemoteFile
from sgt.data.fetch.http import open_http
from sgt.data.fetch.retry import Retry
from sgt.data.fetch.verify import verify_part
from sgt.errors import SgtError

log = logging.getLogger("sgt")


class Stopped(Exception):
    """Another file could not be fetched, so this one was given up."""


@dataclass(frozen=True)
class Transfer:
    """Fetches files into one folder.

    Attributes:
        folder: of the download.
        client: for files that are fetched by HTTP.
        stop: set to give up.
        on_bytes: called with the number of bytes that arrived.
    """

    folder: Path
    client: httpx2.Client
    stop: threading.Event
    on_bytes: Callable[[int], None]

    def fetch(self, file: RemoteFile) -> str:
        """Fetch one file, or the rest of it; returns its sha256.

        Raises:
            SgtError: the server refuses or fails too often, or the content is not what it should be.
            Stopped: ``stop`` was set.
        """
        target, part = self.folder / file.path, part_path(self.folder, file.path)
        for path in (target, part):
            _make_parent(self.folder, path)
        digest = self._copy_cached(file, part)
        if digest is None:
            retry = Retry(shown(file.url), self.stop)
            while not self._is_complete(file, part, retry):
                if self.stop.is_set():
                    raise Stopped
            digest = verify_part(file, part)
        os.replace(part, target)
        _version_file(part).unlink(missing_ok=True)
        return digest

    def _copy_cached(self, file: RemoteFile, part: Path) -> str | None:
        """Copy the file from the Hugging Face cache; returns its sha256, or None if it is not there or damaged."""
        cached = file.hub.cached(file.path) if file.hub else None
        if cached is None:
            return None
        with naming(part):
            shutil.copyfile(cached, part)
        try:
            digest = verify_part(file, part)
        except SgtError as error:
            log.warning("%s is damaged (%s): fetching the file instead", cached, error.problem)
            return None
        self.on_bytes(part.stat().st_size)
        return digest

    def _is_complete(self, file: RemoteFile, part: Path, retry: Retry) -> bool:
        """Fetch what is missing; returns whether the part is complete then."""
        start, version = _arrived(file, part)
        if start and start == file.size:
            return True
        try:
            with self._open(file, start, version) as body:
                self._append(file, body, part, retry)
        except CannotResume as error:
            part.unlink()
            retry.after(error, wait=0.0)
            return False
        except (httpx2.HTTPStatusError, HfHubHTTPError) as error:
            retry.after_status(error.response)
            return False
        except httpx2.TooManyRedirects:
            raise SgtError(shown(file.url), "the server redirects without end", REMEDY) from None
        except (httpx2.RequestError, httpx2.StreamError, RuntimeError) as error:
            retry.after(error)
            return False
        except OSError as error:
            # Errors of Xet have no errno, those of the operating system do.
            if error.errno is not None:
                raise
            retry.after(error)
            return False
        if body.size is not None and part.stat().st_size < body.size:
            retry.after("the connection ended early")
            return False
        return True

    def _open(self, file: RemoteFile, start: int, version: str) -> AbstractContextManager[Body]:
        if file.hub is None:
            return open_http(self.client, file, start, version)
        if token_url := file.hub.xet_token_url(file):
            return file.hub.open_xet(file, token_url, start)
        return open_http(self.client, file, start, None)

    def _append(self, file: RemoteFile, body: Body, part: Path, retry: Retry) -> None:
        chunks = body.chunks
        if body.start == 0:
            # Checked before the part is emptied, so that what arrived earlier survives a login page.
            head, chunks = _with_head(chunks)
            check_head(file.path, body.url, head, body.size)
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW
        with naming(part), os.fdopen(os.open(part, flags, 0o666), "wb") as out:
            out.truncate(body.start)
            out.seek(body.start)
            _version_file(part).write_text(_version(file) or body.etag or "", encoding="utf-8")
            place = body.start
            for chunk in chunks:
                out.write(chunk)
                place += len(chunk)
                retry.progressed(place)
                self.on_bytes(len(chunk))
                if self.stop.is_set():
                    raise Stopped


def part_path(folder: Path, path: str) -> Path:
    """Where what has arrived of a file is kept."""
    return folder / PARTS / f"{path}.part"


def _arrived(file: RemoteFile, part: Path) -> tuple[int, str]:
    """How many bytes arrived earlier that can be resumed, and of which version of the file they are."""
    try:
        version = _version_file(part).read_text(encoding="utf-8")
        size = part.stat().st_size
    except FileNotFoundError:
        return 0, ""
    return (size, version) if version and version == (_version(file) or version) else (0, "")


def _version(file: RemoteFile) -> str | None:
    """What identifies the content of a hub's file; that of another file is identified by its ETag."""
    return next(f"{name}:{digest}" for name, digest in file.digests.items()) if file.hub else None


def _version_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.version")


def _make_parent(folder: Path, path: Path) -> None:
    """Make the folders between ``folder`` and a path in it.

    Raises:
        SgtError: the path or one of those folders is a symbolic link, which could lead elsewhere.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for each in (path, *path.relative_to(folder).parents):
        each = folder / each
        if each != folder and each.is_symlink():
            raise SgtError(each, "is a link", "remove it: nothing is written through links")


def _with_head(chunks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """As many of the first bytes as :func:`check_head` needs, and all chunks again."""
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= HEAD:
            break
    return head, chain([head] if head else [], chunks)
