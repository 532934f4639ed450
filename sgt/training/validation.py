"""Losses on held-out samples: the same samples, draws and order every time, whatever the number of processes."""

import torch

from sgt.data.mixture import Mixed, Source
from sgt.models.base import UnifiedModel
from sgt.training.stream import Stream, Supply
from sgt.training.watch import Numbers
from sgt.training.world import World

SEED = 0


class Validation:
    """The first samples of a held-out dataset, as every kind of example that the run learns from.

    Args:
        model: that is trained.
        supplies: of held-out examples, by name of the kind.
        samples: how many of each kind.
        batch: samples at once, over all processes; a last part of a batch is left out.
        timestep_shift: as in training.
        capacity: tokens per pack.
        world: the processes.
    """

    def __init__(
        self,
        model: UnifiedModel,
        supplies: dict[str, Supply],
        samples: int,
        batch: int,
        timestep_shift: float,
        capacity: int | None,
        world: World,
    ) -> None:
        self.model, self.world, self.timestep_shift = model, world, timestep_shift
        self._steps = max(1, samples // batch)
        self._streams = {name: self._stream(name, supply, batch, capacity) for name, supply in supplies.items()}

    def __call__(self) -> Numbers:
        """Mean losses, as ``validation_KIND``: nats per token of questions, mean square of images."""
        return {f"validation_{name}": self._loss(stream) for name, stream in self._streams.items()}

    def _stream(self, name: str, supply: Supply, batch: int, capacity: int | None) -> Stream:
        # A source of as many samples as are drawn gives each of them once.
        mixture = Mixed([Source(name, self._steps * batch, batch)], SEED)
        return Stream(self.model, mixture, {name: supply}, SEED, capacity, self.world)

    @torch.no_grad()
    def _loss(self, stream: Stream) -> float:
        sums, tokens = [0.0, 0.0], [0.0, 0.0]
        for taken in stream.steps(0, self._steps):
            for batch in taken.batches:
                losses = self.model.loss(batch, self.timestep_shift)
                sums = [sums[0] + losses.ce.item(), sums[1] + losses.mse.item()]
            tokens = [tokens[0] + taken.ce_tokens, tokens[1] + taken.mse_tokens]
        ce, mse = self.world.summed(sums)
        return ce / tokens[0] if tokens[0] else mse / max(tokens[1], 1)
