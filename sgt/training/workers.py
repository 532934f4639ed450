"""The processes of one node from start to end: they find each other, signals reach them, their status is told.

What ``torchrun`` does, whose environment variables these are, but for two things: the status of a process is that of
the whole, so that one of work that was saved (85) is not lost, and processes that were asked to stop have the time that
they need to save; it is for the scheduler to end it.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sgt.errors import REQUEUE_STATUS, SgtError
from sgt.signals import STOP_SIGNALS, handled

if TYPE_CHECKING:
    from torch.distributed import TCPStore

PASSED_ON = {*STOP_SIGNALS, signal.SIGHUP, signal.SIGQUIT}
# Seconds that the others have, once one has failed, until they are killed: they may wait for it forever.
GRACE = 30.0
# Seconds that a process takes from its last word to its end.
LEAVING = 3.0
LOOK = 0.1


@dataclass(frozen=True)
class Place:
    """A node among those of a job.

    Attributes:
        nodes, processes: how many nodes, and processes on each.
        node: which this is.
        host, port: where processes meet, on the first node; port 0 takes a free one.
    """

    nodes: int
    processes: int
    node: int = 0
    host: str = "127.0.0.1"
    port: int = 0

    def environment(self, local: int, port: int) -> dict[str, str]:
        """What one process of this node must know to find the others."""
        return {
            "RANK": str(self.node * self.processes + local),
            "WORLD_SIZE": str(self.nodes * self.processes),
            "LOCAL_RANK": str(local),
            "LOCAL_WORLD_SIZE": str(self.processes),
            "MASTER_ADDR": self.host,
            "MASTER_PORT": str(port),
            # The store is this process's, not that of the first of those it starts.
            "TORCHELASTIC_USE_AGENT_STORE": "True",
            # As many threads as cores in every process would be in each other's way.
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        }


def run_workers(words: Sequence[str], place: Place) -> int:
    """Run ``sgt WORDS`` in every process of this node and wait for all of them.

    Args:
        words: the command of ``sgt`` and its arguments.
        place: of this node.

    Returns:
        0, or the exit status of the process that failed first. Its own message says why.

    Raises:
        SgtError: they cannot meet, or a signal ended a process; its status is then that of a shell, 128 and the signal.
    """
    taken: list[int] = []
    before = {number: signal.signal(number, lambda n, frame: taken.append(n)) for number in handled(PASSED_ON)}
    workers: list[subprocess.Popen] = []
    try:
        store = _store(place) if place.node == 0 else None
        port = store.port if store else place.port
        for local in range(place.processes):
            environment = {**os.environ, **place.environment(local, port)}
            command = [sys.executable, "-m", "sgt", *words]
            # In sessions of their own: what a terminal or `timeout` sends to all comes to them from here, once.
            workers.append(subprocess.Popen(command, env=environment, start_new_session=True))
        number, status = _first_failure(workers, taken)
        if status == REQUEUE_STATUS and place.nodes > 1:
            status = _leave_together(place, store)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
        for each, handler in before.items():
            signal.signal(each, handler)
    if status >= 0:
        return status
    rank = place.node * place.processes + number
    told = f"process {rank} of {place.nodes * place.processes}", f"was ended by {signal.Signals(-status).name}"
    error = SgtError(*told, "see its log above; SIGKILL is often for want of memory")
    error.status = 128 - status
    raise error


def _first_failure(workers: Sequence[subprocess.Popen], taken: list[int]) -> tuple[int, int]:
    """Wait for all processes, passing on signals; the number and status (negative: signal) of the first that failed."""
    failed, deadline = (0, 0), float("inf")
    while True:
        running = [worker for worker in workers if worker.poll() is None]
        while taken:
            number = taken.pop(0)
            for worker in running:
                worker.send_signal(number)
        if not failed[1]:
            ends = [(place, worker.returncode) for place, worker in enumerate(workers) if worker.returncode]
            # Of several at once, one that could still say what happened.
            failed = min(ends, key=lambda end: end[1] < 0, default=failed)
            # What was saved was saved by all: they are about to end by themselves.
            if failed[1] not in (0, REQUEUE_STATUS):
                deadline = time.monotonic() + GRACE
                for worker in running:
                    worker.terminate()
        if not running:
            return failed
        if time.monotonic() > deadline:
            for worker in running:
                worker.kill()
        time.sleep(LOOK)


def _leave_together(place: Place, store: "TCPStore | None") -> int:
    """The status of a node whose work was saved, once all others' was, too.

    ``srun`` kills all nodes at the first bad end, and tells the worst. So the first node alone says that the work wants
    to be gone on with, after the others have left.
    """
    # The first node may have gone already, and its store with it.
    with suppress(RuntimeError):
        store = store or _store(place)
        store.add("saved", 1)
        if _counted(store, "saved", place.nodes):
            if place.node > 0:
                store.add("left", 1)
                return 0
            if _counted(store, "left", place.nodes - 1):
                time.sleep(LEAVING)
    return REQUEUE_STATUS


def _counted(store: "TCPStore", what: str, count: int) -> bool:
    """Wait a while until so many nodes have added themselves; whether they have."""
    deadline = time.monotonic() + GRACE
    while store.add(what, 0) < count:
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK)
    return True


def _store(place: Place) -> "TCPStore":
    """Where processes meet; that of the first node lives as long as what is returned."""
    from torch.distributed import TCPStore  # slow to import

    try:
        return TCPStore(place.host, place.port, is_master=place.node == 0, wait_for_workers=False)
    except RuntimeError as error:
        first = str(error).splitlines()[0]
        problem = f"processes cannot meet here ({first})"
        raise SgtError(f"{place.host}:{place.port}", problem, "see what else uses the port") from None
