"""The processes of a run: one, or as many as a launcher started."""

import atexit
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from sgt.errors import SgtError

# For what one process does while the others wait: hashing base weights, screening data. A process that has ended is
# noticed at once. By default half an hour, which screening on a slow file system can take.
LONGEST_WAIT = timedelta(days=1)


@dataclass(frozen=True)
class DistributedContext:
    """This process among the others, for one of its threads; the default is a single process on the CPU.

    Collectives of one process group must be called in the same order in every process, which cannot be guaranteed
    across threads. So every thread that communicates has a context of its own, with its own control group.

    Attributes:
        rank, size: of this process, and of all.
        device: where this process computes.
        control_group: of the thread, for plain data, on the CPU. Collectives of the model use the default group.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    control_group: dist.ProcessGroup | None = None

    @property
    def is_main(self) -> bool:
        """Whether this is the process of rank 0, which writes files and logs."""
        return self.rank == 0

    def for_thread(self) -> "DistributedContext":
        """A context for another thread; must be called in the same order in all processes."""
        if self.size == 1:
            return self
        return replace(self, control_group=dist.new_group(backend="gloo", timeout=LONGEST_WAIT))

    def any_process(self, flag: bool) -> bool:
        """Whether the flag is set in any process. In the default group, on the device."""
        return bool(self._all_reduce([float(flag)], dist.ReduceOp.MAX, self.device, None)[0])

    def all_reduce_sum_on_device(self, values: Sequence[float]) -> list[float]:
        """Element-wise sums over all processes. In the default group, on the device."""
        return self._all_reduce(values, dist.ReduceOp.SUM, self.device, None)

    def all_reduce_sum(self, values: Sequence[float]) -> list[float]:
        """Element-wise sums over all processes. In the control group."""
        return self._all_reduce(values, dist.ReduceOp.SUM, torch.device("cpu"), self.control_group)

    def all_reduce_max(self, value: int) -> int:
        """The maximum over all processes. In the control group."""
        return int(self._all_reduce([value], dist.ReduceOp.MAX, torch.device("cpu"), self.control_group)[0])

    def all_gather(self, value: Any) -> list[Any]:
        """Every process's value, by rank; plain data. In the control group."""
        if self.size == 1:
            return [value]
        values = [None] * self.size
        dist.all_gather_object(values, value, group=self.control_group)
        return values

    def broadcast_from_main(self, compute: Callable[[], Any]) -> Any:
        """Call a function in the main process alone, and return its result, plain data, in all. In the control group.

        Raises:
            SgtError: the function raised it; raised in all processes.
        """
        result, failure = None, None
        if self.is_main:
            try:
                result = compute()
            except SgtError as error:
                failure = error
        result, failure = self.all_gather((result, failure))[0]
        if failure:
            raise failure
        return result

    def _all_reduce(self, values: Sequence[float], op: Any, device: torch.device, group: Any) -> list[float]:
        if self.size == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=device)
        dist.all_reduce(tensor, op, group=group)
        return tensor.tolist()


def init_distributed(device: torch.device) -> DistributedContext:
    """The context of the calling thread; joins the processes that a launcher started, if one did.

    Args:
        device: of a single process; its type is that of launched processes' devices, too.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return DistributedContext(device=device)
    from accelerate import PartialState  # reads the launcher's environment variables; slow to import

    state = PartialState(cpu=device.type == "cpu")
    if device.type == "cpu":
        # After an error, too: gloo's threads, if they are left to the interpreter's end, abort the process.
        atexit.register(_destroy_process_groups)
    own = device if device.type == "cpu" else state.device
    return DistributedContext(state.process_index, state.num_processes, own).for_thread()


def processes_of_node() -> int:
    """How many processes a launcher started on this node; 1 without one."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def _destroy_process_groups() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def shutdown_distributed(context: DistributedContext) -> None:
    """Leave the process groups."""
    if context.size > 1:
        dist.destroy_process_group()
