"""Whether a proxy arm learns to draw what it is shown, measured on held-out samples during training."""

from sgt.models.examples import Example
from sgt.models.trainable import Trainable
from sgt.training.batch_loader import ExampleSource, StepBatch
from sgt.training.callbacks.callback import Callback
from sgt.training.distributed import DistributedContext
from sgt.training.image_use import held_out_draw, noise_seed, paired_errors, swapped, use_of


class ImageUse(Callback):
    """Adds ``validation_use`` to the metrics: see :mod:`sgt.training.image_use`.

    Args:
        model: the one that is trained.
        source: held-out examples of the proxy, all with their prompt; at least two.
        every: steps between measurements; 0 measures only after the last step.
        samples: how many of the first examples.
        batch: examples that are computed at once in each process.
        context: the processes.
    """

    def __init__(
        self,
        model: Trainable,
        source: ExampleSource,
        every: int,
        samples: int,
        batch: int,
        context: DistributedContext,
    ) -> None:
        self.model, self.source, self.context = model, source, context
        self._every, self._batch = every, batch
        self._count = min(samples, source.size)

    def dry_run(self) -> None:
        """See :class:`Callback`; otherwise a lack of memory might be noticed only after the last step."""
        self._measure(batches=1)

    def post_train_batch(self, batch: StepBatch) -> None:
        """See :class:`Callback`."""
        if self.trainer.is_due(self._every):
            self.trainer.metrics["validation_use"] = self._measure()

    def _measure(self, batches: int | None = None) -> float:
        """``use`` over the samples, or those of the first batches."""
        at_once = self._batch * self.context.size
        count = min(self._count, batches * at_once) if batches else self._count
        self.model.network.eval()
        right, wrong = [0.0] * count, [0.0] * count
        for start in range(0, count, at_once):
            places = range(start, min(start + at_once, count))
            # Each process computes as often as the others, if only something that is not used.
            own = places[self.context.rank :: self.context.size] or places[:1]
            examples = [self._example(place) for place in own]
            others = [self._example((place + 1) % self._count) for place in own]
            seeds = [noise_seed(place) for place in own]
            pairs = paired_errors(self.model, examples, list(map(swapped, examples, others)), seeds, len(examples))
            if self.context.rank < len(places):
                for place, *errors in zip(own, *pairs, strict=True):
                    right[place], wrong[place] = errors
        self.model.network.train()
        sums = self.context.all_reduce_sum_on_device([*right, *wrong])
        return use_of(sums[:count], sums[count:])

    def _example(self, place: int) -> Example:
        return self.source.make(held_out_draw(place))
