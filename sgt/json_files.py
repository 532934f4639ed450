"""JSON as it is written in records, and JSON files that are read with one-line errors."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sgt.errors import SgtError


def indented(value: Any, margin: str = "") -> str:
    """A value as indented JSON. Lists of numbers and texts take a line each, so that a column of thousands is one line.

    Args:
        value: what :mod:`json` can write.
        margin: spaces before the lines that follow the first.
    """
    inner = margin + "  "
    if isinstance(value, dict) and value:
        lines = [f"{json.dumps(key, ensure_ascii=False)}: {indented(each, inner)}" for key, each in value.items()]
        first, last = "{}"
    elif isinstance(value, list) and any(isinstance(each, dict | list) for each in value):
        lines = [indented(each, inner) for each in value]
        first, last = "[]"
    else:
        return json.dumps(value, ensure_ascii=False)
    return f"{first}\n{inner}" + f",\n{inner}".join(lines) + f"\n{margin}{last}"


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """The object that a JSON file holds.

    Args:
        path: of the file.
        remedy: what the user can do about a damaged file.

    Raises:
        FileNotFoundError: there is no such file.
        SgtError: it is not valid JSON, or not an object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise SgtError(path, f"not valid JSON ({error})", remedy) from None
    if not isinstance(content, dict):
        raise SgtError(path, "not a JSON object", remedy)
    return content


@contextmanager
def json_fields(path: Path, kind: str, remedy: str) -> Iterator[Any]:
    """The value that a JSON file holds, for a block that takes fields from it.

    ::

        with json_fields(path, "a report of targets", "render them again") as report:
            return report["sha256"]

    Args:
        path: of the file.
        kind: what the file should be, for the message.
        remedy: what the user can do about a damaged file.

    Raises:
        FileNotFoundError: there is no such file.
        SgtError: it is not valid JSON, or a field is missing or has the wrong type.
    """
    try:
        yield json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise SgtError(path, f"not {kind} ({error!r})", remedy) from None
