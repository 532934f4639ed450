"""What a study meets on other machines: no git, no home, another Python, a cluster's modules, converted line ends."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sgt.atomic import sha256
from tests.workflow.conftest import ROOT, Clone, clone

WEIGHTS = "data/base/micro/ema.safetensors"
TOOLS = ("bash", "sh", "make", "mktemp", "rm", "cut", "env")


@pytest.fixture(scope="module")
def here(origin, tmp_path_factory):
    return clone(origin, tmp_path_factory.mktemp("surroundings") / "sgt")


@pytest.fixture
def archive(origin, tmp_path) -> Clone:
    """A release as a host packs it, unpacked."""
    where = tmp_path / "sgt"
    where.mkdir()
    subprocess.run(f"git archive HEAD | tar -x -C {where}", cwd=origin, shell=True, check=True)
    (where / ".venv").mkdir()
    (where / ".venv/bin").symlink_to(Path(sys.executable).parent)
    (where / ".venv/ready").touch()
    return Clone(where)


def revision(code: Path) -> str:
    told = [sys.executable, "-c", "from sgt.revision import code_revision; print(code_revision())"]
    return subprocess.run(told, cwd=code, capture_output=True, text=True, check=True).stdout.strip()


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.slow
def test_the_archive_of_a_release_gets_its_base_weights_and_plans_its_study(archive, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(archive.folder.parent))
    archive.run(f"snakemake --cores 1 {WEIGHTS}")
    archive.run("sgt base data/base/micro")
    assert (archive / WEIGHTS).stat().st_size > 0 and (archive / "data/base/micro/config.json").exists()
    assert "This was a dry-run" in archive.run("make dry-run")


@pytest.mark.slow
def test_every_model_gets_its_own_base_weights(origin, tmp_path):
    """Their rules are made in a loop, and commands are looked up after it."""
    here = clone(origin, tmp_path / "sgt")
    here.run("sgt base data/base/micro && cp -r data/base/micro data/base/other && dvc add -q data && rm -r data")
    model = yaml.safe_load((here / "config/models/micro.yaml").read_text())
    (here / "config/models/other.yaml").write_text(
        yaml.safe_dump({**model, "name": "other", "checkpoint": "data/base/other"})
    )
    study = yaml.safe_load((here / "config/tiny.yaml").read_text())
    (here / "config/tiny.yaml").write_text(yaml.safe_dump({**study, "models": ["micro", "other"]}))
    here.run(f"snakemake --cores 1 {WEIGHTS} {WEIGHTS.replace('micro', 'other')}")
    assert (here / WEIGHTS).exists() and (here / WEIGHTS.replace("micro", "other")).exists()


def test_the_revision_is_that_of_the_checkout_or_of_the_archive(origin, archive, tmp_path):
    head = git(origin, "rev-parse", "HEAD")
    assert revision(archive.folder) == f"{head} (archive)"
    copied = clone(origin, tmp_path / "clone").folder
    assert revision(copied) == head
    proxy = copied / "sgt/proxies/tasks/mine.py"
    proxy.write_text('"""New."""\n')
    assert revision(copied) == f"{head}+"
    proxy.unlink()
    (copied / "sgt/__init__.py").write_text('"""Changed."""\n\n__version__ = "2"\n')
    assert revision(copied) == f"{head}+"
    # Within a repository of something else, and without the word of an archive.
    shutil.rmtree(copied / ".git")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "-c", "user.email=a@b.c", "-c", "user.name=a", "commit", "--quiet", "--allow-empty", "-m", "other")
    assert revision(copied) == "unknown (no git)"


def test_a_clone_that_converts_line_ends_has_the_same_bytes(origin, tmp_path):
    git(tmp_path, "clone", "--quiet", "-c", "core.autocrlf=true", str(origin), "sgt")
    named = git(origin, "ls-files").splitlines()
    assert sum(name.startswith("store/") for name in named) > 5 and "requirements.lock" in named
    for name in named:
        if not (origin / name).is_symlink():
            assert sha256(tmp_path / "sgt" / name) == sha256(origin / name), name


def test_every_stored_object_of_this_repository_is_exempt_from_conversion():
    stored = git(ROOT, "ls-files", "store").splitlines()
    told = git(ROOT, "check-attr", "text", "--", *stored).splitlines()
    assert len(told) == len(stored) > 20 and all(line.endswith("text: unset") for line in told)


def test_another_numpy_on_pythonpath_ends_make_and_snakemake_in_one_line(here, tmp_path):
    (tmp_path / "numpy").mkdir()
    (tmp_path / "numpy/__init__.py").write_text("raise ImportError('numpy of another Python')\n")
    said = here.run("make study", status=2, PYTHONPATH=f"{here.folder}:{tmp_path}")
    assert f"PYTHONPATH: {tmp_path} has a numpy of its own" in said and "Traceback" not in said
    # One that imports, and that Snakemake itself does not need.
    (tmp_path / "numpy").rename(tmp_path / "safetensors")
    (tmp_path / "safetensors/__init__.py").write_text("__version__ = '0.1'\n")
    said = here.run("snakemake --cores 1 --dry-run", status=1, PYTHONPATH=f"{here.folder}:{tmp_path}")
    assert f"snakemake: error: PYTHONPATH: {tmp_path} has a safetensors of its own" in said and "Traceback" not in said


@pytest.mark.slow
@pytest.mark.parametrize("home", ["HOME=/proc/none", "--unset=HOME"])
def test_a_home_that_cannot_be_written_or_is_not_there_does_not_matter(home, here):
    said = here.run(f"env {home} make study FLAGS='--until base_run --forcerun base_run'")
    assert (here / "results/tiny/runs/micro/base/seed0/run.json").exists()
    assert "Traceback" not in said and "/proc/none" not in said
    assert "This was a dry-run" in here.run(f"env {home} snakemake --cores 1 --dry-run")
    here.run(f"env {home} dvc repro --dry")


@pytest.mark.slow
def test_pythonhome_of_a_module_does_not_matter_to_make(here, tmp_path):
    assert "This was a dry-run" in here.run("make dry-run", PYTHONHOME=str(tmp_path))


def tools(folder: Path, **pythons: str) -> str:
    """A PATH with the tools that make needs, and interpreters of these names alone."""
    folder.mkdir()
    for name in TOOLS:
        (folder / name).symlink_to(shutil.which(name))
    for name, script in pythons.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return str(folder)


def test_make_takes_the_first_supported_python_that_runs(tmp_path):
    # As a version manager's shim of a version that is not installed; and one that is too old.
    missing, old = "echo 'command not found' >&2; exit 127", "exit 1"
    path = tools(
        tmp_path / "bin", **{"python3.11": missing, "python3": old, "python3.13": f'exec {sys.executable} "$@"'}
    )
    (tmp_path / "requirements.lock").touch()
    (tmp_path / "pyproject.toml").touch()
    make = ["make", "--file", str(ROOT / "Makefile"), "--dry-run", "environment"]
    done = subprocess.run(make, cwd=tmp_path, env={"PATH": path}, capture_output=True, text=True)
    assert "python3.13 -I -m venv .venv" in done.stdout
    (tmp_path / "bin/python3.13").unlink()
    make.remove("--dry-run")
    for choice in ([], ["PYTHON=python3"]):
        done = subprocess.run([*make, *choice], cwd=tmp_path, env={"PATH": path}, capture_output=True, text=True)
        assert done.returncode == 2 and not (tmp_path / ".venv").exists()
        assert "make: Python 3.11, 3.12 or 3.13 is needed" in done.stderr and done.stderr.count("\n") == 2
