"""The hash of what is installed: the same for the same packages, whoever installed them and where."""

import subprocess
import sys
from pathlib import Path

CODE = "from sgt.environment import environment; print(environment()['packages'])"


def packages_of(folder: Path, *installed: str) -> str:
    """The hash in an interpreter that sees these installation records alone."""
    site = folder / "site-packages"
    for name in installed:
        (site / f"{name}.dist-info").mkdir(parents=True)
    path = [str(Path(__file__).parents[1]), str(site)]
    words = [sys.executable, "-S", "-c", f"import sys; sys.path += {path}; {CODE}"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def test_it_depends_on_what_is_installed_and_not_on_where_or_by_what(tmp_path):
    ours = packages_of(tmp_path / "pip", "torch-2.13.0", "numpy-2.4.6", "pip-26.3", "sgt-0.1.0")
    assert ours == packages_of(tmp_path / "conda", "numpy-2.4.6", "torch-2.13.0", "pip-25.0", "wheel-0.45")
    assert ours != packages_of(tmp_path / "newer", "torch-2.13.1", "numpy-2.4.6")
    assert ours != packages_of(tmp_path / "device", "torch-2.13.0+cpu", "numpy-2.4.6")
