"""What decides a result: content hashes and options, never resources, devices, times or paths.

There is one function per kind of result, in :mod:`sgt.study.identity`. Every result is recorded with its identity by
the command that makes it, last, as ``identity`` in its record (``manifest.json``, ``run.json``, …). Whether a result is
that of a study as it is now, is then a comparison of two identities, whatever the times of the files say.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from sgt.atomic import write_json
from sgt.errors import SgtError
from sgt.json_files import read_json

Identity = dict[str, Any]
# In place of the hash of something that is not there to be hashed; fits every hash.
UNKNOWN = "?"
SEAL = "record_sha256"
ABSENT = "absent"


def digest(value: object) -> str:
    """SHA-256 of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def difference(recorded: object, wanted: object, where: str = "") -> str | None:
    """The first place where a recorded identity is not the one that is wanted, in words; None if it is.

    Args:
        recorded: as it was read from a record.
        wanted: that of the study as it is. :data:`UNKNOWN` in either fits everything.
        where: the place in the whole identity, for the words.
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
        found = (difference(*pair, f"{where}.{place}") for place, pair in enumerate(zip(recorded, wanted, strict=True)))
        return next(filter(None, found), None)
    return None if recorded == wanted else f"{where} was {_short(recorded)} and is {_short(wanted)}"


def write_record(path: Path, record: dict) -> None:
    """Write the record of a result, sealed: an edit by hand is seen by :func:`read_record`."""
    # As JSON has it: tuples are lists.
    plain = json.loads(json.dumps(record))
    write_json(path, {**plain, SEAL: digest(plain)})


def read_record(path: Path) -> dict:
    """A sealed record, without its seal.

    Raises:
        FileNotFoundError: there is none.
        SgtError: it is damaged, was edited, or has no seal.
    """
    remedy = "restore it, or delete it to make it again"
    record = read_json(path, remedy)
    if SEAL not in record:
        raise SgtError(path, "not a record of this version of sgt", remedy)
    seal = record.pop(SEAL)
    if digest(record) != seal:
        raise SgtError(path, "edited since it was written", remedy)
    return record


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}…"
