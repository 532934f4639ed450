"""A lock on a folder of results: one process at a time works in it, on whatever machine.

It is a POSIX record lock on a file, so it ends with its process however that ends, is seen over NFS, and is not
inherited by child processes. What the file says is for messages alone: one left by a killed process locks nothing.
"""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sgt.errors import SgtError

# Whom a lock of this process names. The system lets a process lock its own file twice, and drops the lock as soon as
# it closes any descriptor of the file, so files that are in here must not be opened again.
_held: dict[Path, str] = {}


@contextmanager
def locked(path: Path, where: object, doing: str) -> Iterator[None]:
    """Hold the lock ``path``, which is created, with its folder, if it is not there, and never removed.

    Args:
        path: of the lock file.
        where: what is locked, for the message: a run, a study.
        doing: what its owner is about, for the message: ``is being trained``.

    Raises:
        SgtError: another process has it ("RUN: is being trained by process 17 on host node3"); or it cannot be made.
    """
    path = path.resolve()
    if path in _held:
        raise _taken(where, doing, _held[path])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise SgtError(path, f"cannot be opened ({error})", "make room or mend it, and run again") from None
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise _taken(where, doing, os.read(descriptor, 1000).decode(errors="replace").strip()) from None
        except OSError as error:
            remedy = "put the results on a file system with locks"
            raise SgtError(path, f"cannot be locked ({error})", remedy) from None
        owner = f"process {os.getpid()} on host {socket.gethostname()}"
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{owner}\n".encode())
        _held[path] = owner
        try:
            yield
        finally:
            del _held[path]
    finally:
        os.close(descriptor)


def _taken(where: object, doing: str, owner: str) -> SgtError:
    return SgtError(where, f"{doing} by {owner or 'another process'}", "wait until it has ended, or stop it")
