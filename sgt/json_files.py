"""JSON as it is written in records, and JSON files that are read with one-line errors."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sgt.errors import SgtError

# Items of a list that are put into one part of a text.
_AT_ONCE = 10_000


def indented(value: Any, margin: str = "") -> Iterator[str]:
    """A value as indented JSON, in parts that are small whatever the value's size.

    Lists of numbers and texts take a line each, so that a column of thousands is one line.

    Args:
        value: what :mod:`json` gives back.
        margin: spaces before the lines that follow the first.
    """
    inner = margin + "  "
    if isinstance(value, dict) and value:
        members = [(f"{json.dumps(key, ensure_ascii=False)}: ", each) for key, each in value.items()]
        first, last = "{}"
    elif isinstance(value, list) and any(isinstance(each, dict | list) for each in value):
        members = [("", each) for each in value]
        first, last = "[]"
    else:
        yield from compact(value)
        return
    yield first
    for place, (label, each) in enumerate(members):
        yield f"{',' if place else ''}\n{inner}{label}"
        yield from indented(each, inner)
    yield f"\n{margin}{last}"


def compact(value: Any, sort_keys: bool = False) -> Iterator[str]:
    """A value as JSON in one line, as ``json.dumps`` gives it, in parts that are small unless there are large texts.

    Args:
        value: what :mod:`json` gives back.
        sort_keys: see ``json.dumps``.
    """
    if not _has_long_list(value):
        yield json.dumps(value, sort_keys=sort_keys, ensure_ascii=False)
    elif isinstance(value, dict):
        for place, key in enumerate(sorted(value) if sort_keys else value):
            yield f"{', ' if place else '{'}{json.dumps(key, ensure_ascii=False)}: "
            yield from compact(value[key], sort_keys)
        yield "}"
    else:
        for start in range(0, len(value), _AT_ONCE):
            part = json.dumps(value[start : start + _AT_ONCE], sort_keys=sort_keys, ensure_ascii=False)
            yield (", " if start else "[") + part[1:-1]
        yield "]"


def _has_long_list(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_long_list, value.values()))
    return isinstance(value, list) and len(value) > _AT_ONCE


def plain(value: Any) -> Any:
    """What JSON gives back of a value: keys are texts, and tuples lists. Long lists are not copied."""
    if isinstance(value, dict):
        return {_key(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple) and any(isinstance(each, dict | list | tuple) for each in value):
        return [plain(each) for each in value]
    return list(value) if isinstance(value, tuple) else value


def _key(key: Any) -> str:
    return key if isinstance(key, str) else next(iter(json.loads(json.dumps({key: None}))))


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
