"""Losses on held-out samples: the same samples, draws and order every time, whatever the number of processes."""

import logging

import torch

from sgt.config.recipe import TimeShift
from sgt.data.mixture import Epoch, Source
from sgt.models.trainable import Trainable
from sgt.training.batch_loader import BatchLoader, ExampleSource, StepBatch
from sgt.training.callbacks.callback import Callback, Metrics
from sgt.training.distributed import DistributedContext

log = logging.getLogger("sgt")
SEED = 0


class Validation(Callback):
    """Adds the losses of the first samples of a held-out dataset to the metrics, one loss for each kind of example.

    Args:
        model: the one that is trained.
        sources: of held-out examples, by name of their kind.
        every: steps between validations; 0 validates only after the last step.
        samples: number of samples of each kind, or all if there are fewer.
        batch: samples that are loaded at once, over all processes.
        timestep_shift: as in training.
        capacity: tokens per pack, at most; None for no limit.
        context: the processes.
    """

    def __init__(
        self,
        model: Trainable,
        sources: dict[str, ExampleSource],
        every: int,
        samples: int,
        batch: int,
        timestep_shift: TimeShift,
        capacity: int | None,
        context: DistributedContext,
    ) -> None:
        self.model, self.context, self.timestep_shift = model, context, timestep_shift
        self._every, self._batch, self._capacity = every, batch, capacity
        self._counts = {name: min(samples, source.size) for name, source in sources.items()}
        self._loaders = {name: self._loader(name, source) for name, source in sources.items()}
        for name, count in self._counts.items():
            if count < samples and context.is_main:
                log.warning("validation_%s is over the %d samples that there are, not %d", name, count, samples)

    def dry_run(self) -> None:
        """See :class:`Callback`; otherwise a lack of memory might be noticed only after the last step."""
        self._validate(batches=1)

    def post_train_batch(self, batch: StepBatch) -> None:
        """See :class:`Callback`."""
        if self.trainer.is_due(self._every):
            self.trainer.metrics |= self._validate()

    def _validate(self, batches: int | None = None) -> Metrics:
        """Mean losses, as ``validation_KIND``: nats per token of questions, mean square of images.

        Args:
            batches: number of batches of each kind, at most; None for all.
        """
        self.model.network.eval()
        losses = {f"validation_{name}": self._loss(name, batches) for name in self._loaders}
        self.model.network.train()
        return losses

    def _loader(self, name: str, source: ExampleSource) -> BatchLoader:
        mixture = Epoch(Source(name, self._counts[name], self._batch), SEED)
        return BatchLoader(self.model, mixture, {name: source}, SEED, self._capacity, self.context)

    @torch.no_grad()
    def _loss(self, name: str, batches: int | None) -> float:
        sums, tokens = [0.0, 0.0], [0.0, 0.0]
        steps = -(-self._counts[name] // self._batch)
        for step_batch in self._loaders[name].iterate(0, min(steps, batches or steps)):
            for micro_batch in step_batch.micro_batches:
                losses = self.model.loss(micro_batch, self.timestep_shift)
                sums = [sums[0] + losses.ce.item(), sums[1] + losses.mse.item()]
            tokens = [tokens[0] + step_batch.ce_tokens, tokens[1] + step_batch.mse_tokens]
        ce, mse = self.context.all_reduce_sum_on_device(sums)
        return ce / tokens[0] if tokens[0] else mse / max(tokens[1], 1)
