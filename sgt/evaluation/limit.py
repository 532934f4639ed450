"""Which samples of a benchmark are taken where a limit takes only some."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class Samples(Protocol):
    """What the rows of a benchmark are made of, by index."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


@dataclass(frozen=True)
class SomeSamples:
    """Some samples, each read when it is taken.

    Attributes:
        samples: all of them.
        places: of those that are taken, in order.
    """

    samples: Samples
    places: Sequence[int]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int, /) -> Any:
        return self.samples[self.places[index]]


def limited(samples: Samples, parts: Sequence[str] | None, count: int | None) -> Samples:
    """So many samples, in their own order; of each part of a benchmark its share.

    Args:
        samples: all of them.
        parts: the part that each is of, such as its category; without parts the first samples are taken.
        count: how many; all of them if None.
    """
    if count is None or count >= len(samples):
        return samples
    if parts is None:
        return SomeSamples(samples, range(count))
    # Parts may lie in files of their own, of which a table holds the images of one: each is read once.
    return SomeSamples(samples, sorted(spread(parts)[:count]))


def spread(parts: Sequence[str]) -> list[int]:
    """Places in an order whose beginning, however long, has of each part its share, in the order that it has."""
    of_part: dict[str, list[int]] = {}
    for place, part in enumerate(parts):
        of_part.setdefault(part, []).append(place)
    at = {place: (rank + 0.5) / len(places) for places in of_part.values() for rank, place in enumerate(places)}
    return sorted(at, key=lambda place: (at[place], place))
