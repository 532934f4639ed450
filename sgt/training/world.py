"""The processes of a run: one, or as many as a launcher started."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.distributed as dist

from sgt.errors import SgtError


@dataclass(frozen=True)
class World:
    """This process among the others, as one thread of it sees them; the default is a process on its own, on the CPU.

    Collectives of one group must be called in the same order in every process, which two threads cannot promise. So
    every thread that talks to other processes has a world of its own, with its own control group.

    Attributes:
        rank, size: which of how many.
        device: where this process computes.
        control: the thread's group, on the CPU, for plain data; collectives of the model never meet in it.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    control: dist.ProcessGroup | None = None

    @property
    def is_main(self) -> bool:
        """Whether this process writes what is written once."""
        return self.rank == 0

    def for_thread(self) -> "World":
        """The same processes for another thread; to be called in the same order in all of them."""
        if self.size == 1:
            return self
        return replace(self, control=dist.new_group(backend="gloo"))

    def any(self, flag: bool) -> bool:
        """Whether it is true in any process; on the device, among the model's collectives."""
        return bool(self._reduced([float(flag)], dist.ReduceOp.MAX, self.device, None)[0])

    def summed(self, values: Sequence[float]) -> list[float]:
        """Element-wise sums over all processes; on the device, among the model's collectives."""
        return self._reduced(values, dist.ReduceOp.SUM, self.device, None)

    def largest(self, value: int) -> int:
        """The largest of all processes' values; in the control group."""
        return int(self._reduced([value], dist.ReduceOp.MAX, torch.device("cpu"), self.control)[0])

    def totals(self, values: Sequence[float]) -> list[float]:
        """Element-wise sums over all processes; in the control group."""
        return self._reduced(values, dist.ReduceOp.SUM, torch.device("cpu"), self.control)

    def gathered(self, value: Any) -> list[Any]:
        """Every process's value, by rank; values are plain data. In the control group."""
        if self.size == 1:
            return [value]
        values = [None] * self.size
        dist.all_gather_object(values, value, group=self.control)
        return values

    def from_main(self, make: Callable[[], Any]) -> Any:
        """What the first process makes, in all of them; it is plain data. In the control group.

        Raises:
            SgtError: that it could not be made; in all processes alike.
        """
        made, refused = None, None
        if self.is_main:
            try:
                made = make()
            except SgtError as error:
                refused = error
        made, refused = self.gathered((made, refused))[0]
        if refused:
            raise refused
        return made

    def _reduced(self, values: Sequence[float], how: Any, device: torch.device, group: Any) -> list[float]:
        if self.size == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=device)
        dist.all_reduce(tensor, how, group=group)
        return tensor.tolist()


def join_world(device: torch.device) -> World:
    """The world that ``accelerate launch`` or ``torchrun`` made, or a process on its own, for the calling thread.

    Args:
        device: that a process on its own uses; its type decides what launched processes use.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return World(device=device)
    from accelerate import PartialState  # reads what the launcher said; slow to import

    state = PartialState(cpu=device.type == "cpu")
    mine = device if device.type == "cpu" else state.device
    return World(state.process_index, state.num_processes, mine).for_thread()


def leave_world(world: World) -> None:
    """Say good-bye to the other processes."""
    if world.size > 1:
        dist.destroy_process_group()
