"""Losses on held-out samples: the same samples, draws and order every time, whatever the number of processes."""

import logging

import torch

from sgt.data.mixture import Epoch, Source
from sgt.models.base import UnifiedModel
from sgt.training.callbacks.callback import Callback, Metrics
from sgt.training.stream import Step, Stream, Supply
from sgt.training.world import World

log = logging.getLogger("sgt")
SEED = 0


class Validation(Callback):
    """Adds the losses of the first samples of a held-out dataset to the metrics, one loss for each kind of example.

    Args:
        model: that is trained.
        supplies: of held-out examples, by name of the kind.
        every: steps between validations; 0 validates after the last step alone.
        samples: how many of each kind; all of a kind that has fewer.
        batch: samples at once, over all processes.
        timestep_shift: as in training.
        capacity: tokens per pack.
        world: the processes.
    """

    def __init__(
        self,
        model: UnifiedModel,
        supplies: dict[str, Supply],
        every: int,
        samples: int,
        batch: int,
        timestep_shift: float,
        capacity: int | None,
        world: World,
    ) -> None:
        self.model, self.world, self.timestep_shift = model, world, timestep_shift
        self._every, self._batch, self._capacity = every, batch, capacity
        self._counts = {name: min(samples, supply.size) for name, supply in supplies.items()}
        self._streams = {name: self._stream(name, supply) for name, supply in supplies.items()}
        for name, count in self._counts.items():
            if count < samples and world.is_main:
                log.warning("validation_%s is over the %d samples that there are, not %d", name, count, samples)

    def post_train_batch(self, batch: Step) -> None:
        """See :class:`Callback`."""
        due = self._every and self.trainer.step % self._every == 0
        if due or self.trainer.is_finished:
            self.model.network.eval()
            self.trainer.metrics |= self.losses()
            self.model.network.train()

    def losses(self) -> Metrics:
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
