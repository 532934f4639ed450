"""A clone of this repository whose default study is the small one: everything else is what a stranger clones."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import STUDY, write_study

ROOT = Path(__file__).parents[2]
ARMS = ["base", "sft", "edge"]
RESULTS = Path("results/tiny")
TABLE = RESULTS / "tables/all.csv"
STEP_TIMEOUT_SECONDS = 900


class Clone:
    """A working copy in which commands run as a user types them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __truediv__(self, path: str | Path) -> Path:
        return self.folder / path

    def environment(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "PYTHONPATH": str(self.folder), "OMP_NUM_THREADS": "1"}

    def run(self, command: str, status: int = 0, **environment: str) -> str:
        """Run a shell command that ends with a status; returns what it said."""
        done = subprocess.run(
            ["timeout", "-k", "5", str(STEP_TIMEOUT_SECONDS), "bash", "-c", command],
            cwd=self.folder,
            env={**self.environment(), **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        said = done.stdout + done.stderr
        assert done.returncode == status, f"{command}: {done.returncode}\n{said}"
        return said

    def edit(self, file: str, before: str, after: str) -> None:
        """Replace a text that occurs in a file."""
        text = (self / file).read_text()
        assert before in text
        (self / file).write_text(text.replace(before, after))


def clone(origin: Path, folder: Path) -> Clone:
    """A fresh clone, with this environment as its ``.venv`` so that ``make`` need not install one."""
    subprocess.run(["git", "clone", "--quiet", str(origin), str(folder)], check=True)
    (folder / ".venv").mkdir()
    (folder / ".venv/bin").symlink_to(Path(sys.executable).parent)
    (folder / ".venv/ready").touch()
    return Clone(folder)


@pytest.fixture(scope="session")
def origin(prepared, tmp_path_factory):
    """A repository of the files of this one, in which ``config/tiny.yaml`` is the small study."""
    folder = tmp_path_factory.mktemp("origin")
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0"):
        if name and not name.startswith(("store/", "tests/", "dvc.lock")) and (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name, follow_symlinks=False)
    write_study(folder, arms=ARMS, benchmarks=["toyworld-qa"], name="tiny", results=str(RESULTS))
    (folder / "config/micro.yaml").rename(folder / "config/tiny.yaml")
    model = folder / "config/models/micro.yaml"
    model.write_text(yaml.safe_dump({**yaml.safe_load(model.read_text()), "checkpoint": "data/base/micro"}))
    shutil.copytree(prepared / "base", folder / "data/base")
    here = Clone(folder)
    here.run("git init -q && git config user.email a@b.c && git config user.name a")
    here.run("dvc add -q data && dvc push -q && git add -A && git commit -qm small && rm -r data .dvc/cache")
    assert STUDY["recipe"]["optimizer"]["lr"] == 1.0e-3
    return folder


@pytest.fixture(scope="session")
def reproduced(origin, tmp_path_factory):
    """A fresh clone in which ``dvc repro`` was typed."""
    here = clone(origin, tmp_path_factory.mktemp("reproduced") / "sgt")
    here.run("git config user.email a@b.c && git config user.name a")
    here.run("dvc repro")
    return here
