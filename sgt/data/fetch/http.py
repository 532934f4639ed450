"""A file over plain HTTP, from the beginning or from where an earlier transfer ended.

``http_get`` of ``huggingface_hub`` resumes too, but where a server sends something from the beginning, it empties the
file before it has seen the content, so a network's login page costs everything that had arrived. It sends no If-Range,
so the file could be joined from two versions of it. fsspec does not resume.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import httpx2

from sgt.data.fetch.content import REMEDY, check_type, shown
from sgt.data.fetch.files import Body, CannotResume, RemoteFile
from sgt.errors import SgtError

TIMEOUT = httpx2.Timeout(60.0, connect=30.0)


def new_client() -> httpx2.Client:
    """A client that follows redirects, without sending credentials on to other hosts."""
    return httpx2.Client(follow_redirects=True, timeout=TIMEOUT)


@contextmanager
def open_http(client: httpx2.Client, file: RemoteFile, start: int, etag: str | None) -> Iterator[Body]:
    """The content of a file, or the rest of it if the server still has the same version.

    Args:
        client: as of :func:`new_client`.
        file: what to fetch.
        start: how many bytes arrived earlier.
        etag: of the version that they belong to; None if the content is fixed by its address, as at a commit.

    Raises:
        CannotResume: there is no rest from ``start`` on.
        SgtError: the answer is a page of HTML, or not what was requested.
        httpx2.HTTPStatusError, httpx2.RequestError: the server refuses or cannot be reached.
    """
    headers = {**file.headers, "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if etag:
            headers["If-Range"] = etag
    with client.stream("GET", file.url, headers=headers) as response:
        if response.status_code == httpx2.codes.RANGE_NOT_SATISFIABLE:
            raise CannotResume("the server has less of it than arrived earlier")
        response.raise_for_status()
        check_type(file.path, str(response.url), response.headers.get("Content-Type", ""))
        decoded = _is_compressed(response, file)
        partial = response.status_code == httpx2.codes.PARTIAL_CONTENT
        if partial and decoded:
            raise CannotResume("the server compresses the rest")
        first = _first_byte(response, start, file) if partial else 0
        length = response.headers.get("Content-Length", "")
        size = first + int(length) if length.isdigit() and not decoded else None
        if file.size is not None and size not in (None, file.size):
            problem = f"the server has {size} bytes of it, expected {file.size}"
            raise SgtError(shown(file.url), problem, f"check the table's revision; or {REMEDY}")
        # A decompressed file has no offsets on the server, and a weak validator does not identify the bytes.
        tag = response.headers.get("ETag", "")
        strong = tag if tag and not tag.startswith("W/") and not decoded else None
        yield Body(str(response.url), first, size, strong, response.iter_bytes() if decoded else response.iter_raw())


def with_size(client: httpx2.Client, file: RemoteFile) -> RemoteFile:
    """The file with its size, if the server answers a HEAD request; the transfer works without."""
    if file.size is not None:
        return file
    try:
        response = client.head(file.url, headers={"Accept-Encoding": "identity"})
        check_type(file.path, file.url, response.headers.get("Content-Type", ""))
    except (httpx2.RequestError, SgtError):
        return file
    length = response.headers.get("Content-Length", "")
    if not response.is_success or response.headers.get("Content-Encoding") or not length.isdigit():
        return file
    return replace(file, size=int(length))


def _first_byte(response: httpx2.Response, start: int, file: RemoteFile) -> int:
    """Where the rest begins, which must be where it was requested from."""
    first = response.headers.get("Content-Range", "").removeprefix("bytes ").split("-")[0]
    if first != str(start):
        raise SgtError(shown(file.url), f"the server sent bytes from {first or '?'}, not {start}", "try again later")
    return start


def _is_compressed(response: httpx2.Response, file: RemoteFile) -> bool:
    """Whether the server compressed the file for the transfer; some also label compressed files that way."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    itself = file.path.lower().endswith((".gz", ".tgz")) and encoding in ("gzip", "x-gzip")
    if encoding in ("", "identity") or itself:
        return False
    if encoding not in ("gzip", "deflate"):
        raise SgtError(shown(str(response.url)), f"sends {file.path} encoded as {encoding!r}", "use another address")
    return True
