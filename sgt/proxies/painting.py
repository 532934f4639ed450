"""Label maps from masks, and palette indices for labels; faster than encoding the result as PNG."""

import heapq
from collections.abc import Sequence

import numpy as np
from PIL import Image

from sgt.errors import SgtError
from sgt.proxies.labels import Labels, left_to_right, neighbours
from sgt.proxies.masks import area

# Masks per bit field: whole numbers below 2**52 are exact in float64, whose exponent gives the highest bit.
_BITS = 52
# Masks painted together. A fixed number, so that the time per mask does not grow with the number of masks.
_GROUP = 8 * _BITS
# A border is a pixel and, in its lowest bits, the number of a mask in its group, or one above all for a column.
_NUMBER_BITS = 9
_COLUMN = 2**_NUMBER_BITS - 1


def paint(masks: Sequence[np.ndarray], ids: Sequence[int], height: int, width: int, largest_last: bool) -> Labels:
    """Paint masks over one another.

    Args:
        masks: run lengths of each, int64, background first, which add up to the image.
        ids: of the masks, ascending; of two masks with the same area, the later one is painted over the earlier.
        height, width: of the image.
        largest_last: paint from the smallest to the largest mask instead of from the largest to the smallest.
    """
    areas = [area(runs) for runs in masks]
    order = sorted(range(len(masks)), key=lambda index: areas[index] if largest_last else -areas[index])
    kind = np.uint8 if len(masks) < 256 else np.uint16
    labels = None
    for first in range(0, len(order), _GROUP):
        group = order[first : first + _GROUP]
        starts, topmost = _topmost([masks[index] for index in group], height, width)
        above = Labels(starts, np.array([0, *(index + 1 for index in group)], kind)[topmost], height, width, ids)
        labels = above if labels is None else _over(labels, above)
    return labels or Labels(np.arange(width) * height, np.zeros(width, kind), height, width, ids)


def _over(lower: Labels, upper: Labels) -> Labels:
    """One label map painted over another."""
    pixels = lower.columns
    np.copyto(pixels, upper.columns, where=upper.columns > 0)
    return Labels.of_columns(pixels, lower.ids)


def _topmost(masks: Sequence[np.ndarray], height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The topmost of masks that are painted in order, in each vertical run of pixels.

    Every run of a mask ends at a border, where the mask begins or ends. Each mask has a bit, which is flipped at its
    borders; the highest bit that is set between two borders is the topmost mask. For three masks on eight pixels::

        pixel        0   1   2   3   4   5   6   7
        mask 1           #   #   #   #   #           borders at 1 and 6
        mask 2                   #   #   #   #       borders at 3 and 7
        mask 3               #   #                   borders at 2 and 4

        starts           1   2   3   4       6   7
        flipped          1   3   2   3       1   2
        set             001 101 111 011     010 000  (mask 3, mask 2, mask 1)
        topmost          1   3   3   2       2   0

    The last border of every mask is the end of the image, which no pixel follows. Columns start at borders of no mask.

    Args:
        masks: run lengths, in the order of painting; at most ``_GROUP``.
        height, width: of the image.

    Returns:
        starts: int64 (n,), ascending: the first pixel of each run, as in :class:`~sgt.proxies.labels.Labels`.
        topmost: int64 (n,): the number of the mask, from 1, or 0 for none.
    """
    borders = [np.cumsum(runs) << _NUMBER_BITS | number for number, runs in enumerate(masks)]
    borders.append(np.arange(width) * height << _NUMBER_BITS | _COLUMN)
    mask = np.concatenate(borders)
    mask.sort()
    starts = mask >> _NUMBER_BITS
    mask &= _COLUMN
    topmost = np.zeros(len(starts), np.int64)
    for first in range(0, len(masks), _BITS):
        bits = np.zeros(_COLUMN + 1, np.int64)
        count = min(_BITS, len(masks) - first)
        bits[first : first + count] = np.int64(1) << np.arange(count)
        is_set = np.bitwise_xor.accumulate(bits[mask])
        # The exponent of 0 is 0, that of a number whose highest bit is k is k + 1.
        _, highest = np.frexp(is_set.astype(np.float64))
        np.copyto(topmost, first + highest, where=highest > 0)
    # The last border at a pixel has what follows all of them. Of several, a column's is the last.
    is_last = np.flatnonzero(np.diff(starts, append=height * width))
    starts, topmost, of_column = starts[is_last], topmost[is_last], mask[is_last] == _COLUMN
    is_start = np.flatnonzero(of_column | (np.diff(topmost, prepend=-1) != 0))
    return starts[is_start], topmost[is_start]


def assign_colours(labels: Labels, colours: int, where: str) -> Image.Image:
    """Palette index of each pixel, an image of mode L.

    Labels are ordered from left to right by the centroid of their visible pixels (then from top to bottom, then by
    number), so that the colours depend on the image alone, and get the colours 1 … ``colours`` in that order, beginning
    again after the last. With more labels than colours this is a greedy graph colouring in smallest-last order (Matula
    and Beck), in which a label gets the next colour that none of its already coloured neighbours has. Six colours are
    enough for any map of connected regions.

    Raises:
        SgtError: a label touches labels of every colour.
    """
    order = left_to_right(labels)
    touching = neighbours(labels) if len(order) > colours else {}
    preferred = {label: position % colours for position, label in enumerate(order)}
    table = [0] * (len(labels.ids) + 1)
    for label in _smallest_last(order, touching):
        used = {table[other] for other in touching.get(label, ())}
        candidates = ((preferred[label] + offset) % colours + 1 for offset in range(colours))
        chosen = next((candidate for candidate in candidates if candidate not in used), None)
        if chosen is None:
            problem = f"it touches instances of all {colours} colours"
            raise SgtError(f"{where}: annotation {labels.ids[label - 1]}", problem, "give the study more colours")
        table[label] = chosen
    return labels.to_image(table)


def _smallest_last(order: list[int], touching: dict[int, set[int]]) -> list[int]:
    """Labels in smallest-last order: the one with the fewest neighbours is removed and comes last, then the one with
    the fewest among those that remain, and so on. Ties are removed from the end of ``order``."""
    position = {label: number for number, label in enumerate(order)}
    remaining = {label: set(touching.get(label, ())) for label in order}
    queue = [(len(others), -position[label], label) for label, others in remaining.items()]
    heapq.heapify(queue)
    removed = []
    while queue:
        count, _, label = heapq.heappop(queue)
        if label not in remaining or count != len(remaining[label]):
            continue  # an outdated entry
        removed.append(label)
        for other in remaining.pop(label):
            remaining[other].discard(label)
            heapq.heappush(queue, (len(remaining[other]), -position[other], other))
    return removed[::-1]
