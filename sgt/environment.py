"""Which Python packages are at work: part of the evidence of every result.

The same lock file installed by pip and by conda gives the same hash, so results of both may stand in one table; other
packages give another, which the report tells.
"""

import hashlib
import platform
import re
import sys
from functools import cache
from pathlib import Path

# What installs packages, and this project, whose revision is told by itself.
APART = {"pip", "setuptools", "wheel", "sgt"}


@cache
def environment() -> dict[str, str]:
    """``python`` (its version) and ``packages``: the SHA-256 of the name and version of everything installed.

    Read off the names of the installation records alone, because every job asks.
    """
    folders = [Path(entry) for entry in sys.path if entry.endswith("site-packages")]
    found = {path.name for folder in folders for path in folder.glob("*.dist-info")}
    pairs = (re.fullmatch(r"(.+?)-([^-]+)\.dist-info", name) for name in found)
    installed = sorted(f"{name.lower()}=={version}" for name, version in (pair.groups() for pair in pairs if pair))
    listed = "\n".join(line for line in installed if line.partition("==")[0] not in APART)
    return {"python": platform.python_version(), "packages": hashlib.sha256(listed.encode()).hexdigest()}
