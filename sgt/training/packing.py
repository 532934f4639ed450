"""Packing examples: none is truncated, dropped or used twice."""

from collections.abc import Sequence


def first_fit_decreasing(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Split examples into few packs of at most ``capacity`` tokens: the longest first, each into the first it fits.

    Args:
        lengths: tokens per example, none above ``capacity``.
        capacity: tokens per pack.

    Returns:
        Indices per pack, ascending.
    """
    packs: list[list[int]] = []
    room: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        place = next((place for place, left in enumerate(room) if left >= lengths[index]), len(packs))
        if place == len(packs):
            packs.append([])
            room.append(capacity)
        packs[place].append(index)
        room[place] -= lengths[index]
    return [sorted(pack) for pack in packs]


def split(packs: list[list[int]], count: int) -> list[list[int]]:
    """The same examples in exactly ``count`` packs, at least ``len(packs)``, so that every process has equally many.

    A pack is empty only if there are fewer examples than packs.
    """
    packs = [list(pack) for pack in packs]
    while len(packs) < count:
        fullest = max(packs, key=len, default=[])
        packs.append([fullest.pop()] if len(fullest) > 1 else [])
    return packs
