"""Records grouped by image on disk: appended to one file in any order, then read by the image's number."""

import json
from array import array
from pathlib import Path

import numpy as np

from sgt.atomic import naming
from sgt.errors import SgtError


class SpoolWriter:
    """Writes ``PATH.jsonl``, and at the end ``PATH.npz`` with the offsets of each number's records.

    Args:
        path: without a suffix.
        count: numbers are below this.
    """

    def __init__(self, path: Path, count: int) -> None:
        self.path, self.count = path, count
        self._numbers, self._starts, self._place = array("q"), array("q"), 0

    def __enter__(self) -> "SpoolWriter":
        self._file = open(self.path.with_suffix(".jsonl"), "wb")
        return self

    def add(self, number: int, record: dict, most: int) -> None:
        """Append a record of one number.

        Raises:
            SgtError: the record has more than ``most`` bytes as JSON.
        """
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        if len(line) > most:
            raise SgtError(self.path.name, f"a record of {len(line)} bytes is too large", "do not use this download")
        with naming(self._file.name):
            self._file.write(line)
        self._numbers.append(number)
        self._starts.append(self._place)
        self._place += len(line)

    def __exit__(self, kind, error, trace) -> None:
        with naming(self._file.name):
            self._file.close()
        if kind is not None:
            return
        numbers, starts = (np.array(each, np.int64) for each in (self._numbers, self._starts))
        order = np.argsort(numbers, kind="stable")
        first = np.searchsorted(numbers[order], np.arange(self.count + 1))
        index = self.path.with_suffix(".npz")
        with naming(index):
            np.savez(index, starts=starts[order], first=first)


class Spool:
    """Reads the files of a :class:`SpoolWriter`."""

    def __init__(self, path: Path) -> None:
        with np.load(path.with_suffix(".npz")) as index:
            self._starts, self._first = index["starts"], index["first"]
        self._file = open(path.with_suffix(".jsonl"), "rb")  # noqa: SIM115 (open for the life of this object)

    def of(self, number: int) -> list[dict]:
        """The records of one number, in the order in which they were added."""
        records = []
        for start in self._starts[self._first[number] : self._first[number + 1]].tolist():
            self._file.seek(start)
            records.append(json.loads(self._file.readline()))
        return records
