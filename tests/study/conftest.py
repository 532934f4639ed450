"""A study in an empty folder, and what `sgt check` says of it."""

from pathlib import Path

import pytest

from sgt.commands.main import main
from tests.conftest import write_study


class Checked:
    """What `sgt check` said of studies written into the working directory."""

    def __init__(self, capsys: pytest.CaptureFixture) -> None:
        self._capsys = capsys

    def lines(self, path: Path, status: int) -> list[str]:
        """Its lines on standard output, or of errors, if it ends with this status."""
        self._capsys.readouterr()
        ended = main(["check", str(path)])
        said = self._capsys.readouterr()
        assert ended == status, said.err or said.out
        return said.out.splitlines() if status == 0 else [line for line in said.err.splitlines() if "error" in line]

    def valid(self, path: Path) -> list[str]:
        """The lines about a study that must be valid."""
        return self.lines(path, 0)

    def refused(self, path: Path, where: str, said: str) -> None:
        """See that a study is refused in one line, which names the place, the fault and a remedy."""
        (line,) = self.lines(path, 1)
        place, *rest = line.removeprefix("sgt check: error: ").split("; ")
        assert place.startswith(f"{where}: ") and said in line and rest, line


@pytest.fixture
def checked(tmp_path, monkeypatch, capsys) -> Checked:
    """In an empty folder, so that nothing but what a test writes is there."""
    monkeypatch.chdir(tmp_path)
    return Checked(capsys)


@pytest.fixture
def written(checked):
    """Write a study into that folder with fields changed; returns its path."""
    return lambda **changes: write_study(Path(), **changes)
