"""Measurements: one line of JSON each, written as soon as it is known, so that a stopped step leaves what it has."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        step: of the command that measured it.
        what: that was measured.
        figures: by name, with the unit in it (``tokens_per_s``); numbers or texts.
    """

    step: str
    what: str
    figures: dict[str, float | str] = field(default_factory=dict)


class RowFile:
    """A file of rows.

    Args:
        path: of the file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, row: Row) -> None:
        """Append a row, and print it."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(row)) + "\n")
        print(f"{row.step}: {row.what}: {described(row)}", flush=True)

    def read(self) -> list[Row]:
        """All rows; a last line that was cut off when its writer was stopped is left out."""
        lines = self.path.read_text(encoding="utf-8").split("\n")[:-1] if self.path.exists() else []
        return [Row(**json.loads(line)) for line in lines]


def described(row: Row) -> str:
    """The figures of a row in one line; numbers with three digits."""
    shown = {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in row.figures.items()}
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in shown.items())
