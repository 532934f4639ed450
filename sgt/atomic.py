"""Files and folders that appear whole or not at all, with the modes that the umask gives."""

import hashlib
import json
import os
import re
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

# A temporary file of another machine counts as abandoned once nobody has written to it for so many seconds.
ABANDONED_AFTER = 24 * 3600


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """A temporary path beside ``path`` that is flushed and renamed to it when the block ends without error.

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
            # A name that is too long, or a folder that cannot be written, was the error and holds nothing.
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
    """Give an error of the system that names no file, as those of a full disk do, the file that was being written.

    An error that names a temporary file of :func:`atomic_path` or :func:`atomic_dir` names what that becomes instead.
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
    """Turn what libraries in Rust (safetensors, tokenizers) tell of the system, in text alone, into ``OSError``."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        if found := re.search(r"\(os error (\d+)\)", str(error)):
            raise OSError(int(found[1]), os.strerror(int(found[1]))) from None
        raise


def write_text(path: Path | str, text: str) -> None:
    """Write ``text`` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, value: Any) -> None:
    """Write ``value`` as readable JSON, atomically, with a final newline."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def save_tensors(path: Path | str, tensors: Mapping[str, "Tensor"], metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file, not atomically, with the mode that the umask gives; the library's own is 0600.

    Args:
        path: where to.
        tensors: contiguous, by name.
        metadata: texts that are kept in the file's header.

    Raises:
        OSError: names ``path``.
    """
    from safetensors.torch import save_file  # slow to import, and most of what writes files needs none of it

    path = Path(path)
    with naming(path), system_errors():
        path.touch()
        mode = path.stat().st_mode
        save_file(dict(tensors), path, metadata)
        path.chmod(mode)


def copy_file(source: Path, to: Path) -> None:
    """Copy a file's content atomically; its mode is that of a new file."""
    with atomic_path(to) as temporary:
        shutil.copyfile(source, temporary)


def copy_folder(source: Path, to: Path) -> None:
    """Copy the files below a folder into another, which may exist; modes are those of new files and folders."""
    for file in sorted(source.rglob("*")):
        if file.is_file():
            copy_file(file, to / file.relative_to(source))


def sha256(path: Path | str) -> str:
    """Hex SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flush(path: Path) -> None:
    """See that a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _temporary(path: Path) -> Path:
    """The name under which this process writes ``path``; those that dead processes left are removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for other in os.listdir(path.parent):
        owner = _owner(path.name, other)
        if owner and _abandoned(path.parent / other, *owner):
            _remove(path.parent / other)
    return path.with_name(f".{path.name}.{_machine()}-{os.getpid()}.tmp")


def _owner(name: str, temporary: str) -> tuple[str, int] | None:
    """Machine and process that write a file of this name under the temporary one, or None if that is another's."""
    if not (temporary.startswith(f".{name}.") and temporary.endswith(".tmp")):
        return None
    found = re.fullmatch(r"([0-9a-f]{8})-(\d+)", temporary[len(name) + 2 : -len(".tmp")])
    return (found[1], int(found[2])) if found else None


def _abandoned(path: Path, machine: str, process: int) -> bool:
    """Whether nobody writes a temporary file any more.

    Machines that share a file system cannot look at each other's processes, so what another one left is judged by the
    time of its last change.
    """
    if machine != _machine():
        with suppress(OSError):
            return time.time() - path.stat().st_mtime > ABANDONED_AFTER
        return False
    try:
        os.kill(process, 0)
    except OSError as error:
        # Another user's process lives, too.
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
    """Eight hex digits of what processes have numbers of their own in: a machine since its start, a container in it."""
    try:
        about = f"{Path('/proc/sys/kernel/random/boot_id').read_text()} {os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        about = socket.gethostname()
    return hashlib.sha256(about.encode()).hexdigest()[:8]
