"""Lists of images in the formats that users write: one name per line, CSV, JSON or JSON lines, with any paths."""

import csv
import io
import json
import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sgt.data.names import parts_of
from sgt.errors import SgtError

MAX_LIST_BYTES = 2**30
MAX_ENTRY = 2**17  # characters; what is longer is a quote that was never closed
_IMAGE = re.compile(r"(?P<key>.+?)\.(?:jpe?g|png|webp|gif|bmp|tiff?|json)(?:\s.*)?", re.IGNORECASE | re.DOTALL)
# Columns and fields that may hold the name, the most likely first; and fields that may hold the list of entries.
_FIELDS = (
    "file_name", "filename", "image", "image_path", "img", "img_path", "path", "file", "name", "key", "image_id", "id",
)  # fmt: skip
_LISTS = ("images", "files", "file_names", "samples", "data", "items")


@dataclass(frozen=True)
class ImageList:
    """The images that a list names.

    Attributes:
        path: of the list.
        entries: the first entry for each key (the file's name without folders and suffix), as it is in the list.
    """

    path: Path
    entries: dict[str, str]

    @property
    def example(self) -> str:
        """The first entry."""
        return next(iter(self.entries.values()))


def read_image_list(path: Path) -> ImageList:
    """Read a list; its content decides which format it is read as.

    Raises:
        SgtError: it is not text, is malformed, or has no entries.
    """
    if path.stat().st_size > MAX_LIST_BYTES:
        raise SgtError(path, f"{path.stat().st_size} bytes is too large for a list", "fetch it again, or another one")
    text = _text(path)
    entries: dict[str, str] = {}
    # The limit is the process's, and readers of tables with images raise it.
    limit = csv.field_size_limit(MAX_ENTRY)
    try:
        for entry in _json_entries(text) if text.lstrip()[:1] in ("{", "[") else _rows(text):
            if entry.strip():
                entries.setdefault(_key(entry), entry.strip())
    except (ValueError, RecursionError, csv.Error) as error:
        problem = f"neither one name a line, nor CSV, JSON or JSON lines ({' '.join(str(error).split())[:200]})"
        raise SgtError(path, problem, "fix the list") from None
    finally:
        csv.field_size_limit(limit)
    if not entries:
        raise SgtError(path, "the list names no images", "fix the list, or remove it to want every image")
    return ImageList(path, entries)


def _text(path: Path) -> str:
    content = path.read_bytes()
    is_utf16 = content.startswith((BOM_UTF16_LE, BOM_UTF16_BE))
    # Names of folders may be in any encoding; the names of the images, which alone are used, are ASCII.
    text = content.removeprefix(BOM_UTF8).decode("utf-16" if is_utf16 else "utf-8", "replace")
    if "\0" in text:
        raise SgtError(path, "not a text", "fix the list")
    return text


def _rows(text: str) -> Iterator[str]:
    lines = [line for line in _lines(text) if line.strip() and not line.lstrip().startswith("#")]
    delimiter = next((each for each in "\t;" if lines and each in lines[0]), ",")
    column = 0
    for number, row in enumerate(csv.reader(lines, delimiter=delimiter, skipinitialspace=True)):
        cells = [cell.strip() for cell in row]
        named = next((cell for cell in cells if _IMAGE.fullmatch(cell)), None)
        header = [cell.lower() for cell in cells]
        known = [field for field in _FIELDS if field in header]
        if number == 0 and named is None and known:
            column = header.index(known[0])
        else:
            yield named or (cells[column] if column < len(cells) else "")


def _json_entries(text: str) -> Iterator[str]:
    try:
        values = [json.loads(text)]
    except ValueError:
        values = [json.loads(line) for line in _lines(text) if line.strip()]
    for value in values:
        yield from _named(value)


def _lines(text: str) -> Iterator[str]:
    """The lines of a file from any system. ``splitlines`` would also split within names and JSON, as at U+2028."""
    return io.StringIO(text, newline=None)


def _named(value: object) -> Iterator[str]:
    """The names in a JSON value: a string, the elements of a list, a field or a list of an object, or its keys."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _named(each)
    elif isinstance(value, dict):
        texts = {field: value[field] for field in _FIELDS if isinstance(value.get(field), str)}
        named = next((text for text in texts.values() if _IMAGE.fullmatch(text.strip())), None)
        lists = [value[key] for key in _LISTS if isinstance(value.get(key), list)]
        if lists:
            yield from _named(lists[0])
        elif texts:
            yield named or next(iter(texts.values()))
        elif all(_IMAGE.fullmatch(key) for key in value):
            yield from value
        else:
            for each in value.values():
                yield from _named(each if isinstance(each, dict) else None)


def _key(entry: str) -> str:
    text = entry.strip().strip("\"'").strip()
    text = urlsplit(text).path if "://" in text else text
    name = (parts_of(text) or [text])[-1]
    match = _IMAGE.fullmatch(name)
    return match["key"] if match else name
