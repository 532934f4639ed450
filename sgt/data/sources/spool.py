"""Records sorted by image without holding them: written to one file as they come, found again by number."""

import json
from array import array
from pathlib import Path

import numpy as np

from sgt.atomic import naming
from sgt.errors import SgtError


class SpoolWriter:
    """Writes ``PATH.jsonl`` and, at the end, ``PATH.npz`` with where the records of each number lie.

    Args:
        path: without a suffix.
        count: how many numbers there are.
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
            SgtError: it takes more than ``most`` bytes, or is nested too deeply to write.
        """
        try:
            line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        except (RecursionError, ValueError) as error:
            raise SgtError(self.path.name, f"a record cannot be kept ({error})", "fetch the download again") from None
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
    """Reads what a :class:`SpoolWriter` wrote."""

    def __init__(self, path: Path) -> None:
        with np.load(path.with_suffix(".npz")) as index:
            self._starts, self._first = index["starts"], index["first"]
        self._file = open(path.with_suffix(".jsonl"), "rb")  # noqa: SIM115 (lives as long as this)

    def of(self, number: int) -> list[dict]:
        """The records of one number, in the order they came."""
        records = []
        for start in self._starts[self._first[number] : self._first[number + 1]].tolist():
            self._file.seek(start)
            records.append(json.loads(self._file.readline()))
        return records
