"""Which samples an optimizer step sees: a pure function of (seed, step), whatever the number of workers or devices."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np


@dataclass(frozen=True)
class Draw:
    """The ``number``-th draw of a source: sample ``index`` of it."""

    source: str
    number: int
    index: int


@dataclass(frozen=True)
class Source:
    """A dataset of ``size`` samples that gives ``per_step`` of them to every step."""

    name: str
    size: int
    per_step: int


class Mixture:
    """Exact counts per step from several sources, each visited in a fresh random order every epoch.

    The order of a source depends on the seed and its own name and size alone, so arms that share a source see the
    same samples in the same order whatever else they are trained on.

    Args:
        sources: in the order in which their samples follow one another within a step.
        seed: of all orders.
    """

    def __init__(self, sources: list[Source], seed: int) -> None:
        self.sources, self.seed = sources, seed

    def step(self, step: int) -> list[Draw]:
        """The draws of one optimizer step (from 0), interleaved in proportion: 2:1 is a, a, b, a, a, b, …"""
        placed = []
        for rank, source in enumerate(self.sources):
            for place in range(source.per_step):
                number = step * source.per_step + place
                draw = Draw(source.name, number, self._index(source, number))
                placed.append(((place + 1) / source.per_step, rank, draw))
        return [draw for _, _, draw in sorted(placed, key=lambda entry: entry[:2])]

    def _index(self, source: Source, number: int) -> int:
        epoch, place = divmod(number, source.size)
        return int(_order(self.seed, source.name, source.size, epoch)[place])


@lru_cache(maxsize=64)
def _order(seed: int, name: str, size: int, epoch: int) -> np.ndarray:
    return generator(seed, name, epoch).permutation(size)


def generator(seed: int, name: str, number: int) -> np.random.Generator:
    """A random generator of its own for one named thing, e.g. one draw of one source."""
    return np.random.default_rng([seed, *name.encode(), number])
