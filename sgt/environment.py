"""Which Python packages are in use: part of the evidence of every result.

The same lock file gives the same hash whether pip or conda installed it, so results of both may share a table; other
packages give another hash, and the report warns of it. Packages that come before the environment's own on Python's
path, as a cluster's modules put them there by PYTHONPATH, are refused.
"""

import hashlib
import os
import pkgutil
import platform
import re
import site
import sys
import sysconfig
from email.parser import HeaderParser
from functools import cache
from importlib.machinery import PathFinder
from importlib.metadata import distributions

from sgt.errors import SgtError

# Not hashed: packages that install others, and this project, whose revision is recorded separately.
EXCLUDED = {"pip", "setuptools", "pkg_resources", "wheel", "sgt"}


@cache
def environment() -> dict[str, str]:
    """``python`` (its version) and ``packages`` (SHA-256 over the names and versions of all installed packages).

    ``elsewhere`` is present only if packages of the environment were imported from outside it: their names, each with
    its ``__version__``.
    """
    listed = "\n".join(f"{name}=={version}" for name, version in packages().items())
    versions = {"python": platform.python_version(), "packages": hashlib.sha256(listed.encode()).hexdigest()}
    return versions | ({"elsewhere": elsewhere} if (elsewhere := ", ".join(_imported_elsewhere())) else {})


def packages() -> dict[str, str]:
    """Version of each installed package that is hashed, by its normalized name, in the order of the names."""
    # A record without metadata is what an interrupted installation leaves.
    texts = filter(None, (package.read_text("METADATA") for package in distributions(path=_own_folders())))
    # The headers alone: below them is each project's whole README, and every job comes by here.
    found = [HeaderParser().parsestr(text) for text in texts]
    installed = {_normalized(headers["Name"]): headers["Version"] for headers in found}
    return {name: version for name, version in sorted(installed.items()) if name not in EXCLUDED}


def require_own_packages() -> None:
    """Refuse a Python path on which other packages come before those of the environment or the standard library.

    Raises:
        SgtError: an entry of PYTHONPATH, or the user's site-packages, has such a package.
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
    """A package's name, normalized as in PEP 503, since installers spell it in different ways."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _own_folders() -> list[str]:
    """The site-packages folders of the environment."""
    return sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})


def _hidden_by(entry: str) -> list[str]:
    """Top-level modules of a folder that would hide ones of the environment or the standard library."""
    standard = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    if os.path.realpath(entry) in {os.path.realpath(folder) for folder in {*standard, *_own_folders()}}:
        return []
    here = sorted({module.name for module in pkgutil.iter_modules([entry])} - EXCLUDED)
    return [name for name in here if name in sys.stdlib_module_names or PathFinder.find_spec(name, _own_folders())]


def _imported_elsewhere() -> list[str]:
    """Names and versions of the environment's packages that were imported from outside it."""
    found = []
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if "." in name or name in EXCLUDED or not file or _is_own(file) or name in sys.stdlib_module_names:
            continue
        if PathFinder.find_spec(name, _own_folders()):
            found.append(f"{name} {getattr(module, '__version__', '(no version)')}")
    return found


def _is_own(file: str) -> bool:
    """Whether a module's file lies in the environment, directly or through a link."""
    places = (os.path.abspath(file), os.path.realpath(file))
    folders = [folder for own in _own_folders() for folder in (own, os.path.realpath(own))]
    return any(place.startswith(os.path.join(folder, "")) for place in places for folder in folders)
