"""A lock on a folder of results, so that one process at a time works in it, across machines.

It is a POSIX record lock on a file: it ends when its process ends, works over NFS, and is not inherited by child
processes. The file's content is used in messages only; a file left by a killed process does not lock anything.
"""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sgt.errors import SgtError

# Owners of the locks that this process holds. POSIX lets a process lock the same file twice, and releases the lock as
# soon as any descriptor of the file is closed, so files in this table must not be opened again.
_held: dict[Path, str] = {}


@contextmanager
def locked(path: Path, where: object, doing: str) -> Iterator[None]:
    """Hold the lock ``path``; the file and its folder are created if they are missing, and never removed.

    Args:
        path: of the lock file.
        where: what is locked, for the message: a run, a study.
        doing: what happens to it meanwhile, for the message: ``is being trained``.

    Raises:
        SgtError: another process holds it ("RUN: is being trained by process 17 on host node3"), or it cannot be
            created.
    """
    path = path.resolve()
    if path in _held:
        raise _held_by(where, doing, _held[path])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise SgtError(path, f"cannot be opened ({error})", "make room or fix it, and run again") from None
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise _held_by(where, doing, os.read(descriptor, 1000).decode(errors="replace").strip()) from None
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


def _held_by(where: object, doing: str, owner: str) -> SgtError:
    return SgtError(where, f"{doing} by {owner or 'another process'}", "wait until it has ended, or stop it")
