"""Which samples an optimizer step gets: a pure function of (seed, step), independent of workers and devices."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Draw:
    """The ``number``-th draw of a source, which is its sample ``index``."""

    source: str
    number: int
    index: int


@dataclass(frozen=True)
class Source:
    """A dataset of ``size`` samples and its share of the draws: samples per step, or a sampling weight."""

    name: str
    size: int
    share: float


class Mixture(ABC):
    """Draws from several sources, each shuffled anew every epoch.

    The order of a source depends only on the seed and on its name and size, so arms that share a source see the same
    samples in the same order, whatever else they are trained on.

    Args:
        sources: in the order of their samples within a step.
        seed: of all shuffles.
    """

    def __init__(self, sources: Sequence[Source], seed: int) -> None:
        self.sources, self.seed = list(sources), seed
        # By source, the order of the epoch that is drawn from and of the one before, by their numbers. Earlier ones
        # would only take memory.
        self._orders: dict[str, dict[int, np.ndarray]] = {}

    @abstractmethod
    def step(self, step: int) -> list[Draw]:
        """The draws of one optimizer step, counted from 0."""

    def _draw(self, source: Source, number: int) -> Draw:
        epoch, place = divmod(number, source.size)
        return Draw(source.name, number, int(self._order(source, epoch)[place]))

    def _order(self, source: Source, epoch: int) -> np.ndarray:
        orders = self._orders.setdefault(source.name, {})
        order = orders.get(epoch)
        if order is None:
            for old in list(orders)[:-1]:
                orders.pop(old, None)
            order = generator(self.seed, source.name, epoch).permutation(source.size)
            order = orders[epoch] = order.astype(np.min_scalar_type(source.size))
        return order


class Mixed(Mixture):
    """Exact counts per step, interleaved in proportion: 2:1 is a, a, b, a, a, b, …"""

    def step(self, step: int) -> list[Draw]:
        """See :meth:`Mixture.step`."""
        placed = []
        for rank, source in enumerate(self.sources):
            count = int(source.share)
            for place in range(count):
                placed.append(((place + 1) / count, rank, self._draw(source, step * count + place)))
        return [draw for _, _, draw in sorted(placed, key=lambda entry: entry[:2])]


class Epoch(Mixture):
    """Every sample of one source once, ``share`` samples per step; the last step has the remaining ones."""

    def __init__(self, source: Source, seed: int) -> None:
        super().__init__([source], seed)

    def step(self, step: int) -> list[Draw]:
        """See :meth:`Mixture.step`."""
        (source,) = self.sources
        share = int(source.share)
        return [self._draw(source, number) for number in range(step * share, min((step + 1) * share, source.size))]


class Sequential(Mixture):
    """The same draws as :class:`Mixed` over all steps, but one source after the other, so each step has one source.

    OmniTaskonomy reports that training on image-to-image tasks before questions scales, and that mixing them does not.

    Args:
        sources: with their counts per mixed step; all draws of the first come before those of the second.
        seed: see :class:`Mixture`.
        steps: number of steps, such that the draws of every source fill whole steps.
    """

    def __init__(self, sources: Sequence[Source], seed: int, steps: int) -> None:
        super().__init__(sources, seed)
        self._batch = int(sum(source.share for source in self.sources))
        self._steps = [int(steps * source.share) // self._batch for source in self.sources]

    def step(self, step: int) -> list[Draw]:
        """See :meth:`Mixture.step`."""
        for source, count in zip(self.sources, self._steps, strict=True):
            if step < count:
                first = step * self._batch
                return [self._draw(source, number) for number in range(first, first + self._batch)]
            step -= count
        raise IndexError("past the last step")


class Weighted(Mixture):
    """One sample of each source per step, and the rest from sources drawn by weight, as in BAGEL's released loader.

    Args:
        sources: with their sampling weights.
        seed: see :class:`Mixture`; it also decides the source of each sample.
        batch: samples per step.
        without: sources whose draws are left out, for an arm that must see the other sources exactly as an arm with
            all of them does.
    """

    def __init__(self, sources: Sequence[Source], seed: int, batch: int, without: Collection[str] = ()) -> None:
        super().__init__(sources, seed)
        self._batch, self._without = batch, without
        weights = np.array([source.share for source in self.sources])
        self._probabilities = weights / weights.sum()
        # Draws of each source before each step; extended on demand.
        self._before = [np.zeros(len(self.sources), np.int64)]

    def step(self, step: int) -> list[Draw]:
        """See :meth:`Mixture.step`."""
        while len(self._before) <= step:
            chosen = self._chosen(len(self._before) - 1)
            self._before.append(self._before[-1] + np.bincount(chosen, minlength=len(self.sources)))
        numbers, draws = self._before[step].copy(), []
        for which in self._chosen(step):
            draws.append(self._draw(self.sources[which], int(numbers[which])))
            numbers[which] += 1
        return [draw for draw in draws if draw.source not in self._without]

    def _chosen(self, step: int) -> np.ndarray:
        drawn = self._batch - len(self.sources)
        rest = generator(self.seed, "sources", step).choice(len(self.sources), size=drawn, p=self._probabilities)
        return np.concatenate([np.arange(len(self.sources)), rest])


def generator(seed: int, name: str, number: int) -> np.random.Generator:
    """A random generator for one purpose, for example one draw of one source, independent of all others."""
    return np.random.default_rng([seed, *name.encode(), number])
