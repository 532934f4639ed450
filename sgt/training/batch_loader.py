"""Loads the batches that each step of a run trains on: the draws of the mixture, packed, for this process."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from sgt.data.mixture import Draw, Mixture
from sgt.errors import SgtError
from sgt.models.examples import Example, Text
from sgt.models.flow import Stratum
from sgt.models.trainable import Batch, Trainable
from sgt.training.distributed import DistributedContext
from sgt.training.packing import first_fit_decreasing, split

# The batch of a process that has no samples where others have some: no token of it is supervised.
EMPTY_EXAMPLE: Example = [Text("")]


@dataclass(frozen=True)
class ExampleSource:
    """Makes examples from the samples of one dataset.

    Attributes:
        make: the example of a draw, a pure function of it.
        key: shard and key of a draw's sample, for messages.
        size: number of samples.
        makes_image: whether the examples have a target image.
    """

    make: Callable[[Draw], Example]
    key: Callable[[Draw], str]
    size: int
    makes_image: bool = False


@dataclass(frozen=True)
class StepBatch:
    """What one optimizer step trains on.

    Attributes:
        micro_batches: one per pack of this process, whose gradients are accumulated; every process has equally many,
            some of which may be empty.
        keys: shard and key of the samples of each micro-batch.
        ce_tokens, mse_tokens, tokens: sums over all processes and micro-batches; see
            :class:`sgt.models.trainable.Batch`.
        filled: share of the packs' capacity that is used; 1 if packs have no limit.
    """

    micro_batches: list[Batch]
    keys: list[list[str]]
    ce_tokens: float
    mse_tokens: float
    tokens: int
    filled: float


class BatchLoader:
    """Loads the batches of a run. Which samples a step has depends on (seed, step) alone, not on the processes.

    Args:
        model: tokenises and collates.
        mixture: decides which samples a step has.
        sources: of examples, by name of the mixture's source.
        seed: of every random draw.
        capacity: tokens per pack, at most; None makes one pack of all samples of a process.
        context: the processes, to which the samples of a step are dealt in turn. Loaders must be created in the same
            order in all processes, because each creates a control group for its thread.
    """

    def __init__(
        self,
        model: Trainable,
        mixture: Mixture,
        sources: dict[str, ExampleSource],
        seed: int,
        capacity: int | None = None,
        context: DistributedContext | None = None,
    ) -> None:
        self.model, self.mixture, self.sources = model, mixture, sources
        self.seed, self.capacity = seed, capacity
        self.context = (context or DistributedContext()).for_thread()

    def load(self, step: int) -> StepBatch:
        """The batch of one step.

        Raises:
            SgtError: a sample is damaged or longer than a pack.
        """
        all_draws = self.mixture.step(step)
        own = slice(self.context.rank, None, self.context.size)
        draws, strata = all_draws[own], self._strata(all_draws)[own]
        examples = [self.sources[draw.source].make(draw) for draw in draws]
        packs = self._packs(examples, draws)
        seeds = [example_seed(self.seed, draw) for draw in draws]
        micro_batches = [
            self.model.batch(
                [examples[i] for i in pack] or [EMPTY_EXAMPLE],
                [seeds[i] for i in pack] or [0],
                [strata[i] for i in pack] or None,
            )
            for pack in packs
        ]
        not_empty = [batch for batch, pack in zip(micro_batches, packs, strict=True) if pack]
        sums = [sum(getattr(batch, name) for batch in not_empty) for name in ("ce_tokens", "mse_tokens", "tokens")]
        ce_tokens, mse_tokens, tokens = self.context.all_reduce_sum(sums)
        total_capacity = len(packs) * self.context.size * (self.capacity or 0)
        return StepBatch(
            micro_batches,
            [[self._key(draws[i]) for i in pack] for pack in packs],
            ce_tokens,
            mse_tokens,
            int(tokens),
            tokens / total_capacity if total_capacity else 1.0,
        )

    def iterate(self, start: int, end: int) -> Iterator[StepBatch]:
        """The batches of steps ``start`` to ``end``; a thread loads the next one while the current one is in use."""
        if start >= end:
            return
        with ThreadPoolExecutor(1) as thread:
            pending = thread.submit(self.load, start)
            for step in range(start + 1, end):
                batch = pending.result()
                pending = thread.submit(self.load, step)
                yield batch
            yield pending.result()

    def _strata(self, draws: Sequence[Draw]) -> list[Stratum]:
        """The stratum of each draw among all target images of the step, in whichever pack they are."""
        makes_image = [self.sources[draw.source].makes_image for draw in draws]
        return [
            (sum(makes_image[:place]), sum(makes_image)) if makes else (0, 1) for place, makes in enumerate(makes_image)
        ]

    def _packs(self, examples: list[Example], draws: list[Draw]) -> list[list[int]]:
        packs = [list(range(len(examples)))]
        if self.capacity:
            lengths = [self.model.tokens(example) for example in examples]
            for length, draw in zip(lengths, draws, strict=True):
                if length > self.capacity:
                    problem = f"{length} tokens, a pack holds {self.capacity}"
                    raise SgtError(self._key(draw), problem, "raise recipe.max_tokens_per_pack or leave the sample out")
            packs = first_fit_decreasing(lengths, self.capacity)
        return split(packs, self.context.all_reduce_max(len(packs)))

    def _key(self, draw: Draw) -> str:
        return self.sources[draw.source].key(draw)


def example_seed(seed: int, draw: Draw) -> int:
    """Seed of the random draws of one example's loss, which so does not depend on what it is packed with."""
    digest = hashlib.sha256(f"{seed} {draw.source} {draw.number}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
