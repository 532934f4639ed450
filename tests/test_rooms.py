"""Rooms: each package imports only from those below it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Bottom up. Modules that lie in sgt/ itself serve all rooms and import from none.
ROOMS = (
    "config",
    "data",
    "proxies",
    "models",
    "study",
    "training",
    "evaluation",
    "analysis",
    "reporting",
    "app",
    "commands",
)
# What a user starts from: the command line, and the names of the Python API.
ENTRANCES = (ROOT / "sgt/__main__.py", ROOT / "sgt/__init__.py")
FILES = sorted((ROOT / "sgt").rglob("*.py"))


def level(module: list[str]) -> int:
    """How high a module of sgt stands: 0 for those that serve all rooms."""
    return ROOMS.index(module[1]) + 1 if len(module) > 1 and module[1] in ROOMS else 0


def imported(path: Path) -> set[tuple[str, ...]]:
    """Every module of sgt that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names):
                found |= {tuple(name.name.split(".")) for name in names}
            case ast.ImportFrom(module, names, 0):
                found |= {(*module.split("."), name.name) for name in names}
            case ast.ImportFrom():
                raise AssertionError(f"{path}: a relative import")
    return {module for module in found if module[0] == "sgt"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_import_runs_upward(path):
    if path in ENTRANCES:
        return
    own = level(list(path.relative_to(ROOT).with_suffix("").parts))
    assert {module for module in imported(path) if level(list(module)) > own} == set()


def test_every_package_is_a_room():
    assert {path.parent.name for path in (ROOT / "sgt").glob("*/__init__.py")} <= set(ROOMS)
