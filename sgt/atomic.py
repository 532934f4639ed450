"""Files and folders written atomically: they appear whole or not at all, with the permissions that the umask gives."""

import hashlib
import json
import os
import re
import shutil
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

# Seconds without a write after which a temporary file of another machine counts as abandoned.
ABANDONED_AFTER = 24 * 3600
# Files to be written to a folder, by its path, before it is listed again.
_until_listed: dict[str, int] = {}


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """A temporary path beside ``path``, flushed and renamed to ``path`` when the block ends without error.

    Raises:
        OSError: names ``path`` if it cannot be written; nothing is left behind then.
    """
    path = Path(path)
    with naming(path):
        temporary = _temporary(path)
        try:
            yield temporary
            flush(temporary)
            os.replace(temporary, path)
            flush(path.parent)
        finally:
            # Where the name is too long or the folder is not writable, there is no temporary file to remove.
            with suppress(OSError):
                temporary.unlink()


@contextmanager
def atomic_dir(path: Path | str) -> Iterator[Path]:
    """A temporary folder that replaces ``path`` when the block ends without error.

    Raises:
        OSError: names ``path``, or the file within it, that cannot be written; nothing is left behind then.
    """
    path = Path(path)
    with naming(path):
        temporary = _temporary(path)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        try:
            yield temporary
            for file in temporary.rglob("*"):
                flush(file)
            flush(temporary)
            if path.exists():
                shutil.rmtree(path)
            os.replace(temporary, path)
            flush(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def naming(path: Path | str) -> Iterator[None]:
    """Add the file being written to an ``OSError`` that names none, as those of a full disk do.

    An error that names a temporary file of :func:`atomic_path` or :func:`atomic_dir` gets its final name instead.
    """
    path = Path(path)
    try:
        yield
    except OSError as error:
        named = error.filename
        if named is None and error.errno is not None:
            error.filename = str(path)
        elif isinstance(named, (str, os.PathLike)):
            parts = Path(named).parts
            place = len(path.parent.parts)
            if len(parts) > place and _owner(path.name, parts[place]):
                error.filename = str(path.joinpath(*parts[place + 1 :]))
        raise


@contextmanager
def system_errors() -> Iterator[None]:
    """Turn errors of Rust libraries (safetensors, tokenizers) that give the system's error as text into ``OSError``."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        if found := re.search(r"\(os error (\d+)\)", str(error)):
            raise OSError(int(found[1]), os.strerror(int(found[1]))) from None
        raise


def write_text(path: Path | str, text: str | Iterable[str]) -> None:
    """Write a text, or the parts of one, atomically."""
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.writelines([text] if isinstance(text, str) else text)


def write_json(path: Path | str, value: Any) -> None:
    """Write ``value`` as indented JSON with a final newline, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def save_tensors(path: Path | str, tensors: Mapping[str, "Tensor"], metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file, not atomically, with the permissions of the umask; those of the library are 0600.

    Args:
        path: of the file.
        tensors: contiguous, by name.
        metadata: strings for the file's header.

    Raises:
        OSError: names ``path``.
    """
    from safetensors.torch import save_file  # slow to import, and most writers do not need it

    path = Path(path)
    with naming(path), system_errors():
        path.touch()
        mode = path.stat().st_mode
        save_file(dict(tensors), path, metadata)
        path.chmod(mode)


def copy_file(source: Path, to: Path) -> None:
    """Copy a file's content atomically, with the permissions of a new file."""
    with atomic_path(to) as temporary:
        shutil.copyfile(source, temporary)


def copy_folder(source: Path, to: Path) -> None:
    """Copy all files of a folder into another, which may exist, with the permissions of new files and folders."""
    for file in sorted(source.rglob("*")):
        if file.is_file():
            copy_file(file, to / file.relative_to(source))


def sha256(path: Path | str) -> str:
    """Hex SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flush(path: Path) -> None:
    """Flush a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _temporary(path: Path) -> Path:
    """The temporary name under which this process writes ``path``; removes those that dead processes left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for other in _listed(path.parent):
        owner = _owner(path.name, other)
        if owner and _abandoned(path.parent / other, *owner):
            _remove(path.parent / other)
    return path.with_name(f".{path.name}.{_machine()}-{os.getpid()}.tmp")


def _listed(folder: Path) -> list[str]:
    """The names in a folder; of a large one only once for every hundred of them, and none in between.

    So the time that a process takes to write a folder full of files grows as their number does, not as its square.
    """
    place = os.path.abspath(folder)
    left = _until_listed.get(place, 0)
    if left:
        _until_listed[place] = left - 1
        return []
    names = os.listdir(folder)
    _until_listed[place] = len(names) // 100
    return names


def _owner(name: str, temporary: str) -> tuple[str, int] | None:
    """Machine and process that a temporary file of ``name`` belongs to; None if it is not one."""
    if not (temporary.startswith(f".{name}.") and temporary.endswith(".tmp")):
        return None
    found = re.fullmatch(r"([0-9a-f]{8})-(\d+)", temporary[len(name) + 2 : -len(".tmp")])
    return (found[1], int(found[2])) if found else None


def _abandoned(path: Path, machine: str, process: int) -> bool:
    """Whether the process that wrote a temporary file has ended.

    Processes of another machine on the same file system cannot be seen from here, so the age of their files decides.
    """
    if machine != _machine():
        with suppress(OSError):
            return time.time() - path.stat().st_mtime > ABANDONED_AFTER
        return False
    try:
        os.kill(process, 0)
    except OSError as error:
        # Any other error means a live process of another user.
        return isinstance(error, ProcessLookupError)
    return False


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


@cache
def _machine() -> str:
    """Eight hex digits that identify the scope of process ids: a boot of this machine, and the container in it."""
    try:
        scope = f"{Path('/proc/sys/kernel/random/boot_id').read_text()} {os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        scope = socket.gethostname()
    return hashlib.sha256(scope.encode()).hexdigest()[:8]
