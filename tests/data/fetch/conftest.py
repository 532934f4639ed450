"""A hub on this machine, a table that lists its files, and the command that fetches them."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from huggingface_hub import constants

from sgt.commands.main import main
from sgt.data.fetch import retry
from tests.data.fetch.hub import Hub

TOKEN = "hf_secret0123456789"
BIG = b"PAR1" + np.random.default_rng(0).bytes(2_999_992) + b"PAR1"
FILES = {
    "README.md": b"# data\n",
    "part/train-00000.parquet": b"PAR1" + np.random.default_rng(1).bytes(49_996),
    "part/train-00001.parquet": BIG,
    "other/skip.bin": b"x" * 5000,
}
WANTED = {path: content for path, content in FILES.items() if path != "other/skip.bin"}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    server = Hub(dict(FILES))
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    # Waits between tries are cut short.
    monkeypatch.setattr(retry, "LONGEST_WAIT", 0.01)
    yield server
    server.close()


@pytest.fixture
def table(tmp_path, hub) -> Callable[..., Path]:
    """Write the table with an entry changed; returns its path."""

    def write(**changes) -> Path:
        entry = {"host": "hub", "kind": "dataset", "repository": "owner/name", "files": ["README.md", "part/*"]}
        plain = {
            "host": "web",
            "kind": "dataset",
            "licence": "none",
            "files": [{"url": f"{hub.url}/web/other/skip.bin"}],
        }
        plain |= changes.pop("web", {})
        entries = {"data": {**entry, "licence": "none", **changes}, "web": plain}
        path = tmp_path / "downloads.yaml"
        path.write_text(yaml.safe_dump(entries))
        return path

    return write


@pytest.fixture
def fetch(tmp_path, table, capfd, caplog) -> Callable[..., tuple[int, str]]:
    """Run the command; returns its status and output."""
    caplog.set_level(logging.INFO)

    def run(name: str = "data", *words: str, **changes) -> tuple[int, str]:
        into = str(tmp_path / "downloads")
        status = main(["fetch", name, "--table", str(table(**changes)), "--into", into, *words])
        captured, logged = capfd.readouterr(), caplog.text
        caplog.clear()
        assert TOKEN not in captured.out + captured.err + logged
        return status, captured.err + logged

    return run


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "downloads" / "data"


def fetched(folder: Path) -> dict[str, bytes]:
    """The content of the fetched files, by path."""
    reserved = {".fetch", "lock.json", "fetched.json"}
    names = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return {str(name): (folder / name).read_bytes() for name in names if name.parts[0] not in reserved}
