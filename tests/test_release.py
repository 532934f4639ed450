"""What a release says of itself in several files is the same in all, and what the hooks and CI start is there."""

import re
import tomllib
from pathlib import Path

import yaml

from sgt import __version__

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_every_file_has_the_same_version_and_licence():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"] == __version__
    assert citation["license"] == PROJECT["license"]


def test_the_changelog_has_a_place_for_the_next_change():
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert headings[0] == "Unreleased"


def test_hooks_run_programs_of_the_lock():
    locked = set(re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(), re.M))
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    for hook in repository["hooks"]:
        program = hook["entry"].split()[0]
        assert hook["language"] == "system" and Path(program).parent == Path(".venv/bin")
        assert Path(program).name in locked


def test_ci_runs_every_target_of_the_merge_check():
    def targets(commands: str) -> set[str]:
        return set(re.findall(r"\bmake (lint|docs|test[\w-]*)", commands))

    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"].values()
    steps = "\n".join(step.get("run", "") for job in jobs for step in job["steps"])
    assert targets(steps) == targets((ROOT / ".ci/run").read_text())
