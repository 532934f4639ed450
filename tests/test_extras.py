"""Loading, training and evaluating models take the core dependencies alone; whatever needs more names its extra."""

import json
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from sgt.extras import EXTRAS, OWN_ENVIRONMENT, SEPARATE

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CORE_ROOMS = {"config", "data", "proxies", "models", "training", "evaluation"}
# Imports as they are where the blocked packages are not installed.
BLOCK = """
import sys
from importlib.machinery import PathFinder

BLOCKED = set({blocked!r})

class OnlyCore(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in BLOCKED else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = OnlyCore
"""


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(requirements: list[str]) -> set[str]:
    """The installed packages that these requirements bring, by name."""
    found: set[str] = set()
    waiting = [(Requirement(line), "") for line in requirements]
    while waiting:
        requirement, extra = waiting.pop()
        name = normalized(requirement.name)
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        for wanted in requirement.extras or {""}:
            if f"{name}[{wanted}]" not in found:
                found |= {name, f"{name}[{wanted}]"}
                waiting += [(Requirement(line), wanted) for line in metadata.requires(requirement.name) or []]
    return found


CORE = closure(PROJECT["dependencies"])
MODULES = metadata.packages_distributions()
NOT_CORE = sorted(
    module for module, packages in MODULES.items() if not {*map(normalized, packages)} & {*CORE, "sgt", "setuptools"}
)


def run(code: str, folder: Path = ROOT) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", BLOCK.format(blocked=NOT_CORE) + code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def test_extras_are_not_core():
    assert {"dvc", "snakemake", "pandas", "pytest"} <= set(NOT_CORE)
    assert {"torch", "transformers", "pydantic"}.isdisjoint(NOT_CORE)


# The others have an environment of their own.
@pytest.mark.parametrize(("module", "extra"), [each for each in EXTRAS.items() if each[1] not in OWN_ENVIRONMENT])
def test_an_extra_brings_the_library_that_is_said_to_need_it(module, extra):
    brought = closure(PROJECT["optional-dependencies"][extra])
    assert {*map(normalized, MODULES[module])} & brought


@pytest.mark.slow
def test_every_module_imports_or_lacks_a_library_of_an_extra():
    modules = [module.name for module in pkgutil.walk_packages([str(ROOT / "sgt")], "sgt.") if module.name[-2:] != "__"]
    code = f"""
import importlib, json
failed = {{}}
for name in {modules!r}:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        failed[name] = error.name.partition(".")[0]
print(json.dumps(failed))
"""
    done = run(code)
    assert done.returncode == 0, done.stderr
    failed = json.loads(done.stdout)
    assert failed and set(failed.values()) <= {*EXTRAS, *SEPARATE}
    assert not [name for name in failed if name.split(".")[1] in CORE_ROOMS]


def test_a_model_loads_with_the_core_alone(study):
    """And without libraries that take long to import and that loading does not use."""
    code = f"""
import sys
from pathlib import Path
from sgt.models.registry import load_model
from sgt.study.load import load_study
spec = load_study(Path({str(study)!r})).models["micro"]
print(type(load_model(spec, Path(spec.checkpoint))).__name__)
print(sys.modules.keys() & {{"matplotlib", "pandas", "scipy", "torch._dynamo", "transformers"}})
"""
    done = run(code, Path.cwd())
    assert done.stdout == "Bagel\nset()\n", done.stderr


@pytest.mark.parametrize(
    ("command", "library"), [("base data/base/bagel-tiny", "dvc"), ("tables config/tiny.yaml", "pandas")]
)
def test_a_command_whose_extra_is_missing_names_it_in_one_line(command, library):
    done = run(f"from sgt.commands.main import main\nsys.exit(main({command.split()!r}))")
    assert done.returncode == 1 and not done.stdout
    expected = f"sgt {command.split()[0]}: error: {library}: is not installed; install the extra {EXTRAS[library]} "
    assert done.stderr.startswith(expected) and done.stderr.count("\n") == 1


def test_a_command_whose_library_has_an_environment_of_its_own_names_it_in_one_line():
    command = "lmms-eval --model bagel-tiny --tasks mmstar --out out.json"
    done = run(f"from sgt.commands.main import main\nsys.exit(main({command.split()!r}))")
    assert done.returncode == 1 and not done.stdout
    line = done.stderr.splitlines()[-1]
    assert line.startswith("sgt lmms-eval: error: lmms_eval: is not installed; it has an environment of its own")
    assert "`make lmms-eval`" in line
