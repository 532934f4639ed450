"""Losses on held-out samples: the same samples, draws and order every time, whatever the number of processes."""

import logging

import torch

from sgt.data.mixture import Epoch, Source
from sgt.models.trainable import Trainable
from sgt.training.stream import Stream, Supply
from sgt.training.watch import Numbers
from sgt.training.world import World

log = logging.getLogger("sgt")
SEED = 0


class Validation:
    """The first samples of a held-out dataset, as every kind of example that the run learns from.

    Args:
        model: that is trained.
        supplies: of held-out examples, by name of the kind.
        samples: how many of each kind; all of a kind that has fewer.
        batch: samples at once, over all processes.
        timestep_shift: as in training.
        capacity: tokens per pack.
        world: the processes.
    """

    def __init__(
        self,
        model: Trainable,
        supplies: dict[str, Supply],
        samples: int,
        batch: int,
        timestep_shift: float,
        capacity: int | None,
        world: World,
    ) -> None:
        self.model, self.world, self.timestep_shift = model, world, timestep_shift
        self._batch, self._capacity = batch, capacity
        self._counts = {name: min(samples, supply.size) for name, supply in supplies.items()}
        self._streams = {name: self._stream(name, supply) for name, supply in supplies.items()}
        for name, count in self._counts.items():
            if count < samples and world.is_main:
                log.warning("validation_%s is over the %d samples that there are, not %d", name, count, samples)

    def __call__(self) -> Numbers:
        """Mean losses, as ``validation_KIND``: nats per token of questions, mean square of images."""
        return {f"validation_{name}": self._loss(name) for name in self._streams}

    def _stream(self, name: str, supply: Supply) -> Stream:
        mixture = Epoch(Source(name, self._counts[name], self._batch), SEED)
        return Stream(self.model, mixture, {name: supply}, SEED, self._capacity, self.world)

    @torch.no_grad()
    def _loss(self, name: str) -> float:
        sums, tokens = [0.0, 0.0], [0.0, 0.0]
        steps = -(-self._counts[name] // self._batch)
        for taken in self._streams[name].steps(0, steps):
            for batch in taken.batches:
                losses = self.model.loss(batch, self.timestep_shift)
                sums = [sums[0] + losses.ce.item(), sums[1] + losses.mse.item()]
            tokens = [tokens[0] + taken.ce_tokens, tokens[1] + taken.mse_tokens]
        ce, mse = self.world.summed(sums)
        return ce / tokens[0] if tokens[0] else mse / max(tokens[1], 1)
