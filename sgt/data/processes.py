"""Processes that share the making of a dataset."""

from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from sgt.errors import SgtError


@contextmanager
def lost_processes(where: object) -> Iterator[None]:
    """Turn the loss of one of a pool's processes, such as one that the system ends for lack of memory, into an error.

    Args:
        where: what they make.

    Raises:
        SgtError: one was lost.
    """
    try:
        yield
    except BrokenProcessPool:
        problem = "one of its processes was killed, probably for lack of memory"
        raise SgtError(where, problem, "use fewer --workers, or give the job more memory") from None
