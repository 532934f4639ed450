"""What decides a result: content hashes and options, never resources, devices, times or paths.

There is one function per kind of result, in :mod:`sgt.study.identity`. The command that makes a result writes its
record (``manifest.json``, ``run.json``, …) last, with the identity as ``identity``. A result is current if the recorded
identity equals the one that the study gives now; the times of the files do not matter.
"""

import hashlib
import json
from itertools import chain
from pathlib import Path
from typing import Any

from sgt.atomic import write_text
from sgt.errors import SgtError
from sgt.json_files import compact, indented, plain, read_json

Identity = dict[str, Any]
# In place of the hash of something that is absent; equal to every hash.
UNKNOWN = "?"
SEAL = "record_sha256"
ABSENT = "absent"


def digest(value: object) -> str:
    """SHA-256 of a JSON value, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def difference(recorded: object, wanted: object, where: str = "") -> str | None:
    """A description of the first difference between a recorded identity and the wanted one; None if they are equal.

    Args:
        recorded: as read from a record.
        wanted: what the study gives now. :data:`UNKNOWN` in either equals everything.
        where: path of these values within the whole identity.
    """
    if UNKNOWN in (recorded, wanted):
        return None
    if isinstance(recorded, dict) and isinstance(wanted, dict):
        for key in dict.fromkeys([*wanted, *recorded]):
            found = difference(recorded.get(key, ABSENT), wanted.get(key, ABSENT), f"{where}.{key}" if where else key)
            if found:
                return found
        return None
    if isinstance(recorded, list) and isinstance(wanted, list) and len(recorded) == len(wanted):
        pairs = enumerate(zip(recorded, wanted, strict=True))
        return next(filter(None, (difference(*pair, f"{where}.{place}") for place, pair in pairs)), None)
    return None if recorded == wanted else f"{where} was {_short(recorded)} and is {_short(wanted)}"


def write_record(path: Path, record: dict) -> None:
    """Write the record of a result with a hash of itself, so that :func:`read_record` detects edits by hand."""
    content = plain(record)
    write_text(path, chain(indented({**content, SEAL: _seal(content)}), ["\n"]))


def read_record(path: Path) -> dict:
    """A record that :func:`write_record` wrote, without the hash of itself.

    Raises:
        FileNotFoundError: there is none.
        SgtError: it is damaged, was edited, or lacks its hash.
    """
    remedy = "restore it, or delete it to make it again"
    record = read_json(path, remedy)
    if SEAL not in record:
        raise SgtError(path, "not a record of this version of sgt", remedy)
    seal = record.pop(SEAL)
    if _seal(record) != seal:
        raise SgtError(path, "edited since it was written", remedy)
    return record


def _seal(record: dict) -> str:
    """:func:`digest` of a record, which may be large."""
    found = hashlib.sha256()
    for part in compact(record, sort_keys=True):
        found.update(part.encode())
    return found.hexdigest()


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}…"
