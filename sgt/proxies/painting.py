"""Label maps from masks, and colours for labels: fast enough that the PNG encoder is what takes the time.

Maps are painted and measured as runs down the columns, the order of COCO's run lengths, and turned upright at the end.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from sgt.data.orientation import Orientation
from sgt.errors import SgtError

_BITS = 52
# Masks whose flips are sorted together: the work per mask stays the same for any number of them.
_AT_ONCE = 8 * _BITS


@dataclass(frozen=True)
class Labels:
    """A label map: ``columns`` is uint8 or uint16 (width, height), 0 for none, k for the k-th of ``ids``."""

    columns: np.ndarray
    ids: Sequence[int]

    def turned(self, turn: Orientation) -> "Labels":
        """The map of stored pixels, upright."""
        return replace(self, columns=np.ascontiguousarray(turn.pixels(self.columns.T).T))

    def painted(self, table: Sequence[int]) -> Image.Image:
        """The picture, of mode L, in which label k is ``table[k]`` (0 to 255)."""
        values = np.array(table, np.uint8)[self.columns]
        return Image.fromarray(values).transpose(Image.Transpose.TRANSPOSE)


def paint(masks: Sequence[np.ndarray], ids: Sequence[int], height: int, width: int, largest_last: bool) -> Labels:
    """Paint masks over one another.

    Args:
        masks: run lengths, each of the whole image, background first.
        ids: of the masks, ascending; of two masks with as many pixels, the later is painted later.
        height, width: of the image.
        largest_last: whether larger masks hide smaller ones, instead of the smaller staying on top.
    """
    areas = [int(runs[1::2].sum()) for runs in masks]
    order = sorted(range(len(masks)), key=lambda index: areas[index] if largest_last else -areas[index])
    flat = np.zeros(height * width, np.uint8 if len(masks) < 256 else np.uint16)
    for first in range(0, len(order), _AT_ONCE):
        group = order[first : first + _AT_ONCE]
        place, top = _visible([masks[index] for index in group])
        labels = np.array([0, *(index + 1 for index in group)], flat.dtype)[top]
        over = np.repeat(labels, np.diff(place, append=flat.size))
        np.copyto(flat[place[0] :], over, where=over > 0)
    return Labels(flat.reshape(width, height), ids)


def _visible(masks: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Where, pixel by pixel, another mask comes to lie on top, and which: its number from 1, or 0 for none.

    Every mask begins or ends at the end of each of its runs, so one bit per mask, flipped there, tells which masks a
    pixel is in; the highest bit is the mask on top. A float64 holds so many bits, and knows its highest.
    """
    ends = [np.cumsum(runs) for runs in masks]
    number = np.repeat(np.arange(len(masks)), [len(each) for each in ends])
    flips = np.sort(np.concatenate(ends) << 16 | number)
    place, number = flips >> 16, flips & 0xFFFF
    top = np.zeros(len(flips), np.int64)
    for low in range(0, len(masks), _BITS):
        mine = (number >= low) & (number < low + _BITS)
        inside = np.bitwise_xor.accumulate(np.where(mine, np.int64(1) << np.where(mine, number - low, 0), 0))
        highest = np.frexp(inside.astype(np.float64))[1]
        top = np.where(highest > 0, highest + low, top)
    return place, top


def colour(labels: Labels, colours: int, where: str) -> Image.Image:
    """Palette index per pixel, an image of mode L.

    Labels take the colours 1 … ``colours`` in turn, from left to right by the centroid of what is visible of them (then
    top to bottom, then by number), so the picture alone decides. With more labels than colours the turn starts over,
    and a label passes over the colours of those that it touches and that chose before it: labels choose in an order in
    which each touches few that were before it (six colours are enough for any map whose regions are whole).

    Raises:
        SgtError: a label touches labels of every colour.
    """
    order = left_to_right(labels.columns)
    touching = neighbours(labels.columns) if len(order) > colours else {}
    turn = {label: place % colours for place, label in enumerate(order)}
    table = [0] * (len(labels.ids) + 1)
    for label in _smallest_last(order, touching):
        taken = {table[other] for other in touching.get(label, ())}
        choice = ((turn[label] + offset) % colours + 1 for offset in range(colours))
        chosen = next((candidate for candidate in choice if candidate not in taken), None)
        if chosen is None:
            problem = f"it touches instances of all {colours} colours"
            raise SgtError(f"{where}: annotation {labels.ids[label - 1]}", problem, "give the study more colours")
        table[label] = chosen
    return labels.painted(table)


def _smallest_last(order: list[int], touching: dict[int, set[int]]) -> list[int]:
    """The labels so that each touches as few as can be of those before it: the one that touches fewest is last, and so
    on.

    Of labels that touch as many, the later in ``order`` is later.
    """
    place = {label: number for number, label in enumerate(order)}
    left = {label: set(touching.get(label, ())) for label in order}
    queue = [(len(others), -place[label], label) for label, others in left.items()]
    heapq.heapify(queue)
    last_first = []
    while queue:
        count, _, label = heapq.heappop(queue)
        if label not in left or count != len(left[label]):
            continue
        last_first.append(label)
        for other in left.pop(label):
            left[other].discard(label)
            heapq.heappush(queue, (len(left[other]), -place[other], other))
    return last_first[::-1]


def left_to_right(columns: np.ndarray) -> list[int]:
    """The labels that are visible in a map (width, height), by the column, then the row, of their centroid."""
    height = columns.shape[1]
    flat = columns.ravel()
    starts = np.empty(columns.shape, bool)
    starts[:, 0] = True
    np.not_equal(columns[:, 1:], columns[:, :-1], out=starts[:, 1:])
    first = np.flatnonzero(starts)
    length = np.diff(first, append=flat.size)
    label = flat[first]
    column, row = np.divmod(first, height)
    # Sums of whole numbers, exact in the float64 of bincount.
    area = np.bincount(label, length)
    x = np.bincount(label, column * length) / np.maximum(area, 1)
    y = np.bincount(label, row * length + length * (length - 1) // 2) / np.maximum(area, 1)
    return sorted((np.flatnonzero(area[1:]) + 1).tolist(), key=lambda label: (x[label], y[label], label))


def neighbours(labels: np.ndarray) -> dict[int, set[int]]:
    """Which labels touch which, in the 8-neighbourhood, of a label map; 0 is none."""
    flat, length = labels.ravel(), labels.shape[1]
    count = int(flat.max()) + 1
    touch = np.zeros((count, count), bool)
    # To the next in the line, and to the three beside it in the next line; a line's ends have no next, or none before.
    for step, excluded in ((1, length - 1), (length - 1, 0), (length, None), (length + 1, length - 1)):
        border = np.flatnonzero(flat[step:] != flat[: max(0, flat.size - step)])
        if excluded is not None:
            border = border[border % length != excluded]
        touch[flat[border], flat[border + step]] = True
    touch |= touch.T
    touch[0] = touch[:, 0] = False
    return {label: set(np.flatnonzero(touch[label]).tolist()) for label in np.flatnonzero(touch.any(axis=1)).tolist()}
