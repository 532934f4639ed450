"""Which Python packages are at work: part of the evidence of every result.

The same lock file installed by pip and by conda gives the same hash, so results of both may stand in one table; other
packages give another, which the report tells. Packages that come before the environment's own on Python's path, as a
cluster's modules put theirs there by PYTHONPATH, are refused.
"""

import hashlib
import os
import pkgutil
import platform
import re
import site
import sys
import sysconfig
from functools import cache
from importlib.machinery import PathFinder
from importlib.metadata import distributions

from sgt.errors import SgtError

# What installs packages, and this project, whose revision is told by itself.
APART = {"pip", "setuptools", "pkg_resources", "wheel", "sgt"}


@cache
def environment() -> dict[str, str]:
    """What runs: ``python`` (its version) and ``packages`` (SHA-256 of the name and version of all that is installed).

    ``elsewhere`` is there only if packages of the environment were imported from another place than the environment:
    their names, each with the version that it says it has.
    """
    # A record without metadata is what an interrupted installation leaves.
    found = (package for package in distributions(path=_own_folders()) if package.read_text("METADATA"))
    installed = {_normalized(package.name): package.version for package in found}
    listed = "\n".join(f"{name}=={version}" for name, version in sorted(installed.items()) if name not in APART)
    told = {"python": platform.python_version(), "packages": hashlib.sha256(listed.encode()).hexdigest()}
    return told | ({"elsewhere": elsewhere} if (elsewhere := ", ".join(_imported_elsewhere())) else {})


def require_own_packages() -> None:
    """See that nothing on Python's path comes before the packages of the environment, or the standard library.

    Raises:
        SgtError: an entry of PYTHONPATH, or the user's own packages, do.
    """
    for entry in filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)):
        for name in _hidden_by(entry):
            problem = f"{entry} has a {name} of its own, which would be used instead of the environment's"
            raise SgtError("PYTHONPATH", problem, "`unset PYTHONPATH` (or `module purge`), then start again")
    users = site.getusersitepackages()
    for name in _hidden_by(users) if users in sys.path else ():
        problem = f"has a {name} of its own, which would be used instead of the environment's"
        raise SgtError(users, problem, "`export PYTHONNOUSERSITE=1`, then start again")


def _normalized(name: str) -> str:
    """A package's name as PEP 503 compares names, whichever way its installer spelled it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _own_folders() -> list[str]:
    """Where the environment's packages are."""
    return sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})


def _hidden_by(entry: str) -> list[str]:
    """Top-level modules of a folder that stand for ones of the environment or the standard library."""
    standard = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    if os.path.realpath(entry) in {os.path.realpath(folder) for folder in {*standard, *_own_folders()}}:
        return []
    here = sorted({module.name for module in pkgutil.iter_modules([entry])} - APART)
    return [name for name in here if name in sys.stdlib_module_names or PathFinder.find_spec(name, _own_folders())]


def _imported_elsewhere() -> list[str]:
    """Names and versions of the environment's packages that were imported from outside it."""
    found = []
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if "." in name or name in APART or not file or _is_own(file) or name in sys.stdlib_module_names:
            continue
        if PathFinder.find_spec(name, _own_folders()):
            found.append(f"{name} {getattr(module, '__version__', '(no version)')}")
    return found


def _is_own(file: str) -> bool:
    """Whether a module's file is the environment's, or a link there."""
    places = (os.path.abspath(file), os.path.realpath(file))
    folders = [folder for own in _own_folders() for folder in (own, os.path.realpath(own))]
    return any(place.startswith(os.path.join(folder, "")) for place in places for folder in folders)
