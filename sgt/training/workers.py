"""Starts the processes of one node, passes signals on to them, and returns their exit status.

A replacement for ``torchrun``, with the same environment variables and two differences: the exit status of a process
becomes that of the whole, so that 85 (the work was saved; run it again) is not lost; and processes that are asked to
stop get the time they need to save, because ending them is up to the scheduler.
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
from sgt.signals import STOP_SIGNALS, listen

if TYPE_CHECKING:
    from torch.distributed import TCPStore

FORWARDED = {*STOP_SIGNALS, signal.SIGHUP, signal.SIGQUIT}
# Seconds from the failure of one process until the others, which may wait for it forever, are killed.
GRACE = 30.0
# Seconds from a process's last message in the store until it has exited.
EXITING = 3.0
POLL_INTERVAL = 0.1


@dataclass(frozen=True)
class Node:
    """One node of a job.

    Attributes:
        nodes: number of nodes.
        processes: number of processes per node.
        rank: of this node.
        host, port: where the processes find each other, on the first node; port 0 takes a free one.
    """

    nodes: int
    processes: int
    rank: int = 0
    host: str = "127.0.0.1"
    port: int = 0

    def environment(self, local_rank: int, port: int) -> dict[str, str]:
        """Environment variables of one process of this node, as ``torchrun`` sets them."""
        return {
            "RANK": str(self.rank * self.processes + local_rank),
            "WORLD_SIZE": str(self.nodes * self.processes),
            "LOCAL_RANK": str(local_rank),
            "LOCAL_WORLD_SIZE": str(self.processes),
            "MASTER_ADDR": self.host,
            "MASTER_PORT": str(port),
            # The launcher hosts the store, not the process of rank 0.
            "TORCHELASTIC_USE_AGENT_STORE": "True",
            # By default every process would start a thread for each core.
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        }


def run_workers(words: Sequence[str], node: Node) -> int:
    """Run ``sgt WORDS`` in every process of this node and wait for all of them.

    Args:
        words: the command of ``sgt`` and its arguments.
        node: this node.

    Returns:
        0, or the exit status of the process that failed first, which has printed its own error message.

    Raises:
        SgtError: the processes cannot connect, or a signal ended one of them. The status is then that of a shell: 128
            plus the signal's number.
    """
    received: list[int] = []
    handlers = listen(FORWARDED, lambda number, frame: received.append(number))
    workers: list[subprocess.Popen] = []
    try:
        store = _store(node) if node.rank == 0 else None
        port = store.port if store else node.port
        for local_rank in range(node.processes):
            environment = {**os.environ, **node.environment(local_rank, port)}
            command = [sys.executable, "-m", "sgt", *words]
            # In their own sessions: a signal that a terminal or `timeout` sends to the group is forwarded only once.
            workers.append(subprocess.Popen(command, env=environment, start_new_session=True))
        local_rank, status = _first_failure(workers, received)
        if status == REQUEUE_STATUS and node.nodes > 1:
            status = _leave_together(node, store)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if status >= 0:
        return status
    where = f"process {node.rank * node.processes + local_rank} of {node.nodes * node.processes}"
    problem = f"was ended by {signal.Signals(-status).name}"
    error = SgtError(where, problem, "see its log above; SIGKILL often means that memory ran out")
    error.status = 128 - status
    raise error


def _first_failure(workers: Sequence[subprocess.Popen], received: list[int]) -> tuple[int, int]:
    """Wait for all processes and forward signals; local rank and status (negative: signal) of the first that failed."""
    failed, deadline = (0, 0), float("inf")
    while True:
        running = [worker for worker in workers if worker.poll() is None]
        while received:
            number = received.pop(0)
            for worker in running:
                worker.send_signal(number)
        if not failed[1]:
            ends = [(rank, worker.returncode) for rank, worker in enumerate(workers) if worker.returncode]
            # Of several at once, prefer one that was not killed: it has printed an error message.
            failed = min(ends, key=lambda end: end[1] < 0, default=failed)
            # After 85 all processes have saved, and are about to exit.
            if failed[1] not in (0, REQUEUE_STATUS):
                deadline = time.monotonic() + GRACE
                for worker in running:
                    worker.terminate()
        if not running:
            return failed
        if time.monotonic() > deadline:
            for worker in running:
                worker.kill()
        time.sleep(POLL_INTERVAL)


def _leave_together(node: Node, store: "TCPStore | None") -> int:
    """The exit status of a node whose work was saved; returns when that of all other nodes was saved, too.

    ``srun`` kills all nodes when one exits with an error, and returns the highest status. So only the first node exits
    with the status for requeueing, after the others have exited with 0.
    """
    # The first node, and its store, may have exited already.
    with suppress(RuntimeError):
        store = store or _store(node)
        store.add("saved", 1)
        if _wait_for_count(store, "saved", node.nodes):
            if node.rank > 0:
                store.add("left", 1)
                return 0
            if _wait_for_count(store, "left", node.nodes - 1):
                time.sleep(EXITING)
    return REQUEUE_STATUS


def _wait_for_count(store: "TCPStore", key: str, count: int) -> bool:
    """Wait until a counter of the store is at least ``count``; False if it is not after :data:`GRACE` seconds."""
    deadline = time.monotonic() + GRACE
    while store.add(key, 0) < count:
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_INTERVAL)
    return True


def _store(node: Node) -> "TCPStore":
    """The store through which processes find each other; on the first node, its server runs as long as the object."""
    from torch.distributed import TCPStore  # slow to import

    try:
        return TCPStore(node.host, node.port, is_master=node.rank == 0, wait_for_workers=False)
    except RuntimeError as error:
        first = str(error).splitlines()[0]
        problem = f"processes cannot connect here ({first})"
        raise SgtError(f"{node.host}:{node.port}", problem, "see what else uses the port") from None
