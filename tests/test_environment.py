"""What is told of the installed packages, and that no others come before them."""

import os
import subprocess
import sys
import sysconfig
import venv
from importlib.metadata import distributions
from pathlib import Path

import pytest

from sgt.environment import packages

ROOT = Path(__file__).parents[1]
TELL = "from sgt.environment import environment; print(environment()[{!r}])"


class Environment:
    """A virtual environment with installation records, and modules, of packages that are not there."""

    def __init__(self, folder: Path, *installed: str, modules: dict[str, str] | None = None) -> None:
        venv.create(folder, with_pip=False)
        self.python = folder / "bin/python"
        (site,) = folder.glob("lib/python*/site-packages")
        for record in installed:
            write_record(site, *record.rsplit("-", 1))
        write_modules(site, **(modules or {}))

    def run(self, code: str, *path: Path) -> str:
        """Run code that finds ``sgt`` and then these folders by PYTHONPATH."""
        found = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, *path)))}
        return subprocess.run([self.python, "-c", code], env=found, capture_output=True, text=True).stdout.strip()


def write_record(site: Path, name: str, version: str) -> None:
    folder = site / f"{name}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def write_modules(folder: Path, **versions: str) -> Path:
    for name, version in versions.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(f"__version__ = {version!r}\n")
    return folder


def refused(code: str, **environment: str) -> str:
    """What this interpreter's ``sgt`` says when it refuses; empty if it does not."""
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, cwd=ROOT
    )
    assert "Traceback" not in done.stderr
    return done.stderr if done.returncode else ""


def test_the_hash_depends_on_what_is_installed_and_not_on_where_or_by_what(tmp_path):
    def packages(name: str, *installed: str) -> str:
        return Environment(tmp_path / name, *installed).run(TELL.format("packages"))

    ours = packages("pip", "torch-2.13.0", "numpy-2.4.6", "pip-26.3", "sgt-0.1.0")
    assert len(ours) == 64
    assert ours == packages("conda", "numpy-2.4.6", "torch-2.13.0", "pip-25.0", "wheel-0.45")
    assert packages("spelled", "ruamel.yaml-0.19.1") == packages("otherwise", "Ruamel_Yaml-0.19.1")
    assert ours != packages("newer", "torch-2.13.1", "numpy-2.4.6")
    assert ours != packages("device", "torch-2.13.0+cpu", "numpy-2.4.6")


def test_a_record_that_an_interrupted_installation_left_is_not_a_package(tmp_path):
    whole = Environment(tmp_path / "whole", "numpy-2.4.6")
    before = whole.run(TELL.format("packages"))
    (site,) = (tmp_path / "whole").glob("lib/python*/site-packages")
    (site / "torch-2.13.0.dist-info").mkdir()
    assert len(before) == 64 and whole.run(TELL.format("packages")) == before


def test_a_package_that_was_imported_from_elsewhere_is_told_with_its_version(tmp_path):
    here = Environment(tmp_path / "here", "numpy-2.4.6", modules={"numpy": "2.4.6"})
    elsewhere = write_modules(tmp_path / "lib/python3.11/site-packages", numpy="1.24.0", unknown="3.0")
    write_record(elsewhere, "numpy", "1.24.0")
    code = "import numpy, sys; sys.path.append({!r}); import unknown; {}"
    own = here.run(code.format(str(elsewhere), TELL.format("packages")))
    assert len(own) == 64
    # What lies elsewhere is not taken for installed; what was imported from there is told.
    assert own == here.run("import numpy; " + TELL.format("packages"))
    assert (
        here.run("import numpy; from sgt.environment import environment; print('elsewhere' in environment())")
        == "False"
    )
    assert here.run("import numpy; " + TELL.format("elsewhere"), elsewhere) == "numpy 1.24.0"


# The last one is of the standard library.
@pytest.mark.parametrize("name", ["numpy", "typing_extensions", "yaml", "colorsys"])
def test_another_package_on_pythonpath_is_refused_in_one_line(name, tmp_path):
    other = write_modules(tmp_path / "module", **{name: "0.1"})
    said = refused("import sys; from sgt.commands.main import main; sys.exit(main(['check']))", PYTHONPATH=str(other))
    assert said.startswith(f"sgt: error: PYTHONPATH: {other} has a {name} of its own") and said.count("\n") == 1
    assert "`unset PYTHONPATH` (or `module purge`)" in said


def test_a_pythonpath_that_hides_nothing_is_fine(tmp_path):
    write_modules(tmp_path / "own", my_proxies="1")
    (tmp_path / "own/numpy").mkdir()
    (tmp_path / "own/numpy/notes.txt").touch()
    code = "import sys; from sgt.environment import require_own_packages; require_own_packages()"
    site = next(path for path in sys.path if path.endswith("site-packages"))
    assert not refused(code, PYTHONPATH=f":{ROOT}:{tmp_path / 'own'}:{tmp_path / 'missing'}:{site}")


def test_the_users_own_packages_are_refused_where_python_would_use_them(tmp_path):
    users = tmp_path / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    write_modules(users, numpy="1.0")
    code = "import site, sys; {} from sgt.commands.main import main; "
    code += "sys.exit(main(['check', '--quiet', 'config/tiny.yaml']))"
    here = {"PYTHONUSERBASE": str(tmp_path)}
    # A virtual environment passes them over, conda's do not.
    assert not refused(code.format(""), **here)
    said = refused(code.format("sys.path.insert(1, site.getusersitepackages());"), **here)
    assert said.startswith(f"sgt: error: {users}: has a numpy of its own") and "PYTHONNOUSERSITE=1" in said


def test_names_and_versions_are_those_of_the_installation_records():
    records = distributions(path=[sysconfig.get_path("purelib")])
    versions = {record.name.lower().replace("_", "-").replace(".", "-"): record.version for record in records}
    found = packages()
    assert len(found) > 50
    assert found.items() <= versions.items()
