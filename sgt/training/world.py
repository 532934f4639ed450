"""The processes of a run: one, or as many as a launcher started."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist


@dataclass(frozen=True)
class World:
    """This process among the others; the default is a process on its own, on the CPU.

    Attributes:
        rank, size: which of how many.
        device: where this process computes.
        side: a group of all processes for what the data thread agrees on, so that it never meets the collectives of
            the model.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    side: dist.ProcessGroup | None = None

    @property
    def is_main(self) -> bool:
        """Whether this process writes what is written once."""
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """Whether it is true in any process."""
        return bool(self._reduced([float(flag)], dist.ReduceOp.MAX, self.device, None)[0])

    def largest(self, value: int) -> int:
        """The largest of all processes' values, in the data thread."""
        return int(self._reduced([value], dist.ReduceOp.MAX, torch.device("cpu"), self.side)[0])

    def totals(self, values: Sequence[float]) -> list[float]:
        """Element-wise sums over all processes, in the data thread."""
        return self._reduced(values, dist.ReduceOp.SUM, torch.device("cpu"), self.side)

    def summed(self, values: Sequence[float]) -> list[float]:
        """Element-wise sums over all processes."""
        return self._reduced(values, dist.ReduceOp.SUM, self.device, None)

    def gathered(self, value: Any) -> list[Any]:
        """Every process's value, by rank; values are plain data."""
        if self.size == 1:
            return [value]
        values = [None] * self.size
        dist.all_gather_object(values, value, group=self.side)
        return values

    def _reduced(self, values: Sequence[float], how: Any, device: torch.device, group: Any) -> list[float]:
        if self.size == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=device)
        dist.all_reduce(tensor, how, group=group)
        return tensor.tolist()


def join_world(device: torch.device) -> World:
    """The world that ``accelerate launch`` or ``torchrun`` made, or a process on its own.

    Args:
        device: that a process on its own uses; its type decides what launched processes use.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return World(device=device)
    from accelerate import PartialState  # reads what the launcher said; slow to import

    state = PartialState(cpu=device.type == "cpu")
    mine = device if device.type == "cpu" else state.device
    return World(state.process_index, state.num_processes, mine, dist.new_group(backend="gloo"))


def leave_world(world: World) -> None:
    """Say good-bye to the other processes."""
    if world.size > 1:
        dist.destroy_process_group()
