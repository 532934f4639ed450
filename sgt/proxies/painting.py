"""Label maps from masks, and palette indices for labels; faster than encoding the result as PNG.

Label maps are kept column by column, in the order of COCO's run lengths, until they become an image.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from sgt.data.orientation import Orientation
from sgt.errors import SgtError
from sgt.proxies.masks import area

# Masks per bit field: whole numbers below 2**52 are exact in float64, whose exponent gives the highest bit.
_BITS = 52
# Masks painted together. A fixed number, so that the time per mask does not grow with the number of masks.
_GROUP = 8 * _BITS


@dataclass(frozen=True)
class Labels:
    """A label map.

    Attributes:
        columns: uint8 or uint16 (width, height): 0 for background, k for the k-th of ``ids``.
        ids: of the annotations.
    """

    columns: np.ndarray
    ids: Sequence[int]

    def upright(self, orientation: Orientation) -> "Labels":
        """The label map of an image with stored pixels of this orientation, made upright."""
        return replace(self, columns=np.ascontiguousarray(orientation.pixels(self.columns.T).T))

    def to_image(self, values: Sequence[int]) -> Image.Image:
        """An image of mode L in which label k has the value ``values[k]`` (0 to 255)."""
        pixels = np.array(values, np.uint8)[self.columns]
        return Image.fromarray(pixels).transpose(Image.Transpose.TRANSPOSE)


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
    pixels = np.zeros(height * width, np.uint8 if len(masks) < 256 else np.uint16)
    for first in range(0, len(order), _GROUP):
        group = order[first : first + _GROUP]
        starts, topmost = _topmost([masks[index] for index in group])
        labels = np.array([0, *(index + 1 for index in group)], pixels.dtype)[topmost]
        painted = np.repeat(labels, np.diff(starts, append=pixels.size))
        np.copyto(pixels[starts[0] :], painted, where=painted > 0)
    return Labels(pixels.reshape(width, height), ids)


def _topmost(masks: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The topmost of masks that are painted in order, in each stretch of pixels between two borders of any masks.

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

    The last border of every mask is the end of the image, which no pixel follows.

    Args:
        masks: run lengths, in the order of painting; not none.

    Returns:
        starts: int64 (n,), ascending: the first pixel of each stretch, which ends at the next start.
        topmost: int64 (n,): the number of the mask, from 1, or 0 for none. Before ``starts[0]`` there is none.
    """
    borders = np.concatenate([np.cumsum(runs) for runs in masks])
    mask = np.repeat(np.arange(len(masks)), [len(runs) for runs in masks])
    order = np.argsort(borders, kind="stable")
    starts, mask = borders[order], mask[order]
    topmost = np.zeros(len(starts), np.int64)
    for first in range(0, len(masks), _BITS):
        bit = mask - first
        flipped = np.where((bit >= 0) & (bit < _BITS), np.int64(1) << bit.clip(0, _BITS), 0)
        is_set = np.bitwise_xor.accumulate(flipped)
        # The exponent of 0 is 0, that of a number whose highest bit is k is k + 1.
        _, highest = np.frexp(is_set.astype(np.float64))
        topmost = np.where(highest > 0, first + highest, topmost)
    return starts, topmost


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
    order = left_to_right(labels.columns)
    touching = neighbours(labels.columns) if len(order) > colours else {}
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


def left_to_right(columns: np.ndarray) -> list[int]:
    """The visible labels of a label map (width, height), sorted by the column, then the row, of their centroid."""
    height = columns.shape[1]
    flat = columns.ravel()
    starts = np.empty(columns.shape, bool)
    starts[:, 0] = True
    np.not_equal(columns[:, 1:], columns[:, :-1], out=starts[:, 1:])
    first = np.flatnonzero(starts)
    length = np.diff(first, append=flat.size)
    label = flat[first]
    column, row = np.divmod(first, height)
    # Sums of whole numbers are exact in float64, which bincount adds in.
    pixels = np.bincount(label, length)
    x = np.bincount(label, column * length) / np.maximum(pixels, 1)
    y = np.bincount(label, row * length + length * (length - 1) // 2) / np.maximum(pixels, 1)
    return sorted((np.flatnonzero(pixels[1:]) + 1).tolist(), key=lambda label: (x[label], y[label], label))


def neighbours(labels: np.ndarray) -> dict[int, set[int]]:
    """For each label of a 2D label map those that touch it, diagonally too; 0 is background."""
    flat, width = labels.ravel(), labels.shape[1]
    count = int(flat.max()) + 1
    touch = np.zeros((count, count), bool)
    # The next pixel of the row and three of the row below: (distance, the column that has no such neighbour).
    for step, excluded in ((1, width - 1), (width - 1, 0), (width, None), (width + 1, width - 1)):
        border = np.flatnonzero(flat[step:] != flat[: max(0, flat.size - step)])
        if excluded is not None:
            border = border[border % width != excluded]
        touch[flat[border], flat[border + step]] = True
    touch |= touch.T
    touch[0] = touch[:, 0] = False
    return {label: set(np.flatnonzero(touch[label]).tolist()) for label in np.flatnonzero(touch.any(axis=1)).tolist()}
