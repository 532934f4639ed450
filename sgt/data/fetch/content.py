"""Whether a fetched file is of the kind that its name says, by its first bytes and by the server's Content-Type.

A network's login page, a proxy's notice or the page behind an expired link arrives with status 200 in place of the
file, and without a known hash nothing else reveals it.
"""

import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from sgt.errors import SgtError

# As many bytes as every check needs: a tar's first header.
HEAD = tarfile.BLOCKSIZE
_PAGES = ("text/html", "application/xhtml+xml")
_PAGE_NAMES = (".html", ".htm", ".xhtml")
REMEDY = "a network's login page, a proxy or an expired link may have answered instead: try another network"
_PAGE = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body|meta|title|script)\b", re.I | re.S
)
_POINTER = b"version https://git-lfs"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_MARKS = (
    (b"PK\x03\x04", "a zip"), (b"PK\x05\x06", "a zip"), (b"\x1f\x8b", "gzip"), (b"PAR1", "parquet"),
    (b"\xff\xd8\xff", "a JPEG"), (b"\x89PNG", "a PNG"), (b"<?xml", "XML"), (b"%PDF", "a PDF"),
    (_POINTER, "a Git LFS pointer"),
)  # fmt: skip
_Check = Callable[[bytes, int | None], bool]


def _starts(*marks: bytes) -> _Check:
    return lambda head, size: head.startswith(marks)


def _is_not_html(head: bytes, size: int | None) -> bool:
    return not _PAGE.match(head)


def _is_tar(head: bytes, size: int | None) -> bool:
    # An archive without members begins with the zeros that end any other.
    if head == bytes(tarfile.BLOCKSIZE):
        return True
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _is_json(head: bytes, size: int | None) -> bool:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return head[:2] in _UTF16_MARKS or bool(re.match(rb'[\[{"\-0-9]|true|false|null', text))


def _is_safetensors(head: bytes, size: int | None) -> bool:
    return head[8:9] == b"{" and (size is None or int.from_bytes(head[:8], "little") + 8 <= size)


def _is_text(head: bytes, size: int | None) -> bool:
    return (
        _is_not_html(head, size) and not head.startswith(_POINTER) and (head[:2] in _UTF16_MARKS or b"\0" not in head)
    )


# File name suffixes, and whether the first bytes (with the size in bytes, if known) can be those of such a file.
_KINDS: dict[tuple[str, ...], _Check] = {
    (".zip", ".npz"): _starts(b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08"),
    (".tar",): _is_tar,
    (".gz", ".tgz"): _starts(b"\x1f\x8b"),
    (".bz2",): _starts(b"BZh"),
    (".xz",): _starts(b"\xfd7zXZ\0"),
    (".zst",): _starts(b"\x28\xb5\x2f\xfd"),
    (".parquet",): _starts(b"PAR1", b"PARE"),
    (".json", ".jsonl"): _is_json,
    (".safetensors",): _is_safetensors,
    (".jpg", ".jpeg"): _starts(b"\xff\xd8\xff"),
    (".png",): _starts(b"\x89PNG\r\n\x1a\n"),
    (".txt", ".csv", ".tsv", ".md", ".yaml", ".yml", ".py"): _is_text,
    _PAGE_NAMES: lambda head, size: True,
}


def shown(url: str) -> str:
    """An address without its possibly secret parts: user, password, query and fragment. A path is returned as it is."""
    if "://" not in url:
        return url
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def check_type(path: str, url: str, content_type: str) -> None:
    """Check that a response is not a page of HTML, unless such a page was requested.

    Args:
        path: of the file in the download.
        url: that answered, after all redirects.
        content_type: of the response.

    Raises:
        SgtError: it is a page.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind in _PAGES and not path.lower().endswith(_PAGE_NAMES):
        raise SgtError(shown(url), f"serves {path} as {kind}, a page", REMEDY)


def check_content(path: str, source: str, file: Path, remedy: str = REMEDY) -> None:
    """Check the first bytes of a complete file as :func:`check_head` does."""
    with open(file, "rb") as content:
        check_head(path, source, content.read(HEAD), file.stat().st_size, remedy)


def check_head(path: str, source: str, head: bytes, size: int | None, remedy: str = REMEDY) -> None:
    """Check that a file's first bytes are those of the kind that its name says; other names may hold all but HTML.

    Args:
        path: of the file in the download.
        source: where it came from, for the error.
        head: its first ``HEAD`` bytes or more, or the whole file.
        size: of the file in bytes, if known.
        remedy: for the error.

    Raises:
        SgtError: it is of another kind.
    """
    name = path.lower()
    fits = next((check for ends, check in _KINDS.items() if name.endswith(ends)), _is_not_html)
    if not fits(head[:HEAD], size):
        problem = f"{path} is no .{name.rpartition('.')[2]} file but {_looks_like(head)}"
        raise SgtError(shown(source), problem, remedy)


def _looks_like(head: bytes) -> str:
    if not head:
        return "empty"
    if _PAGE.match(head):
        return "a page of HTML"
    if kind := next((kind for mark, kind in _MARKS if head.startswith(mark)), None):
        return kind
    return "JSON" if head[:1] in b"{[" else f"something that begins with 0x{head[:8].hex()}"
