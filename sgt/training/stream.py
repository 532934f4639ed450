"""What each step of a run learns from: the draws of the mixture as packed batches of this process."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from sgt.data.mixture import Draw, Mixture
from sgt.errors import SgtError
from sgt.models.examples import Example, Text
from sgt.models.flow import Stratum
from sgt.models.trainable import Batch, Trainable
from sgt.training.packing import first_fit_decreasing, split
from sgt.training.world import World

# What a process works through that has no samples where others have some: nothing is learned from it.
NOTHING: Example = [Text("")]


@dataclass(frozen=True)
class Supply:
    """Examples of one source.

    Attributes:
        make: the example of a draw, a pure function of it.
        key: where its sample lies, for messages.
        size: how many samples the source has.
        makes_image: whether its examples ask for an image.
    """

    make: Callable[[Draw], Example]
    key: Callable[[Draw], str]
    size: int
    makes_image: bool = False


@dataclass(frozen=True)
class Step:
    """One optimizer step.

    Attributes:
        batches: of this process, worked through one after another; as many in every process, some perhaps of nothing.
        keys: where the samples of each batch lie.
        ce_tokens, mse_tokens, tokens: over all processes and batches.
        filled: share of the packs' capacity that is used, 1 if packs have no limit.
    """

    batches: list[Batch]
    keys: list[list[str]]
    ce_tokens: float
    mse_tokens: float
    tokens: int
    filled: float


class Stream:
    """The steps of a run. What a step holds depends on (seed, step) alone, how it is cut on the number of processes.

    Args:
        model: tokenises and collates.
        mixture: says which samples.
        supplies: by name of the source.
        seed: of every random draw.
        capacity: tokens per pack, at most; None makes one pack of a process's share.
        world: the processes, among which the draws of a step are dealt in turn. The stream's thread gets a world of
            its own, so that streams must be made in the same order in all processes.
    """

    def __init__(
        self,
        model: Trainable,
        mixture: Mixture,
        supplies: dict[str, Supply],
        seed: int,
        capacity: int | None = None,
        world: World | None = None,
    ) -> None:
        self.model, self.mixture, self.supplies = model, mixture, supplies
        self.seed, self.capacity, self.world = seed, capacity, (world or World()).for_thread()

    def step(self, step: int) -> Step:
        """The batches of one step.

        Raises:
            SgtError: a sample is damaged or longer than a pack.
        """
        everyones = self.mixture.step(step)
        mine = slice(self.world.rank, None, self.world.size)
        draws, strata = everyones[mine], self._strata(everyones)[mine]
        examples = [self.supplies[draw.source].make(draw) for draw in draws]
        packs = self._packs(examples, draws)
        seeds = [example_seed(self.seed, draw) for draw in draws]
        batches = [
            self.model.batch(
                [examples[i] for i in pack] or [NOTHING],
                [seeds[i] for i in pack] or [0],
                [strata[i] for i in pack] or None,
            )
            for pack in packs
        ]
        filled = [batch for batch, pack in zip(batches, packs, strict=True) if pack]
        sums = (sum(getattr(batch, name) for batch in filled) for name in ("ce_tokens", "mse_tokens", "tokens"))
        ce_tokens, mse_tokens, tokens = self.world.totals(list(sums))
        room = len(packs) * self.world.size * (self.capacity or 0)
        keys = [[self._key(draws[i]) for i in pack] for pack in packs]
        return Step(batches, keys, ce_tokens, mse_tokens, int(tokens), tokens / room if room else 1.0)

    def steps(self, start: int, end: int) -> Iterator[Step]:
        """Steps ``start`` to ``end``, each made in a thread of its own while the one before it is learned from."""
        with ThreadPoolExecutor(1) as thread:
            coming = thread.submit(self.step, start) if start < end else None
            for step in range(start, end):
                ready = coming.result()
                coming = thread.submit(self.step, step + 1) if step + 1 < end else None
                yield ready

    def _strata(self, draws: Sequence[Draw]) -> list[Stratum]:
        """The stratum of each of a step's draws, among all images that the step makes, wherever they are packed."""
        making = [self.supplies[draw.source].makes_image for draw in draws]
        return [(sum(making[:place]), sum(making)) if makes else (0, 1) for place, makes in enumerate(making)]

    def _packs(self, examples: list[Example], draws: list[Draw]) -> list[list[int]]:
        packs = [list(range(len(examples)))]
        if self.capacity:
            lengths = [self.model.tokens(example) for example in examples]
            for length, draw in zip(lengths, draws, strict=True):
                if length > self.capacity:
                    problem = f"{length} tokens, a pack holds {self.capacity}"
                    raise SgtError(self._key(draw), problem, "raise recipe.max_tokens_per_pack or leave the sample out")
            packs = first_fit_decreasing(lengths, self.capacity)
        return split(packs, self.world.largest(len(packs)))

    def _key(self, draw: Draw) -> str:
        return self.supplies[draw.source].key(draw)


def example_seed(seed: int, draw: Draw) -> int:
    """Seed of the random draws of one example's loss: of nothing beside it, so packing cannot change them."""
    digest = hashlib.sha256(f"{seed} {draw.source} {draw.number}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
