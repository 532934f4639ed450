"""Label maps as vertical runs, which are far fewer than pixels, and what follows from them: which labels touch, and
their order from left to right.

Pixels are counted down the columns from the upper left corner, in the order of COCO's run lengths.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

from sgt.data.orientation import UPRIGHT, Orientation


@dataclass(frozen=True)
class Labels:
    """A label map: 0 for background, k for the k-th of ``ids``.

    Attributes:
        starts: int64 (n,), ascending: the first pixel of each run, which ends where the next one starts. Every column
            starts a run.
        values: uint8 or uint16 (n,): the label of each run.
        height, width: of the map.
        ids: of the annotations.
    """

    starts: np.ndarray
    values: np.ndarray
    height: int
    width: int
    ids: Sequence[int]

    @classmethod
    def of_columns(cls, columns: np.ndarray, ids: Sequence[int]) -> "Labels":
        """From the labels of all pixels, uint8 or uint16 (width, height)."""
        is_start = np.ones(columns.shape, bool)
        np.not_equal(columns[:, 1:], columns[:, :-1], out=is_start[:, 1:])
        starts = np.flatnonzero(is_start)
        width, height = columns.shape
        return cls(starts, columns.ravel()[starts], height, width, ids)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Pixels in each run: int64 (n,)."""
        return np.diff(self.starts, append=self.height * self.width)

    @cached_property
    def columns(self) -> np.ndarray:
        """The labels of all pixels, uint8 or uint16 (width, height)."""
        return self._columns_of(self.values)

    def upright(self, orientation: Orientation) -> "Labels":
        """The label map of an image with stored pixels of this orientation, made upright."""
        if orientation == UPRIGHT:
            return self
        return Labels.of_columns(np.ascontiguousarray(orientation.pixels(self.columns.T).T), self.ids)

    def to_image(self, values: Sequence[int]) -> Image.Image:
        """An image of mode L in which label k has the value ``values[k]`` (0 to 255)."""
        pixels = self._columns_of(np.array(values, np.uint8)[self.values])
        return Image.fromarray(pixels).transpose(Image.Transpose.TRANSPOSE)

    def _columns_of(self, values: np.ndarray) -> np.ndarray:
        """The values of all pixels, (width, height), from those of the runs."""
        return np.repeat(values, self.lengths).reshape(self.width, self.height)


def left_to_right(labels: Labels) -> list[int]:
    """The visible labels, sorted by the column, then the row, of their centroid."""
    length = labels.lengths
    column, row = np.divmod(labels.starts, labels.height)
    # Sums of whole numbers are exact in float64, which bincount adds in.
    pixels = np.bincount(labels.values, length)
    x = np.bincount(labels.values, column * length) / np.maximum(pixels, 1)
    y = np.bincount(labels.values, row * length + length * (length - 1) // 2) / np.maximum(pixels, 1)
    return sorted((np.flatnonzero(pixels[1:]) + 1).tolist(), key=lambda label: (x[label], y[label], label))


def neighbours(labels: Labels) -> dict[int, set[int]]:
    """For each label those that touch it, diagonally too; 0 is background.

    Two runs in adjacent columns touch if neither starts more than a pixel after the other ends. Then one of the three
    pixels to the left of the right run's first pixel is the left run's, or the pixel to the right of and above the left
    run's first pixel is the right run's.
    """
    starts, values, height = labels.starts, labels.values.astype(np.int64), labels.height
    pixels, count = labels.columns.ravel(), int(values.max()) + 1
    touch = np.zeros((count, count), bool)
    pairs = touch.ravel()
    # Pixels beyond the ends of a column are replaced by their neighbours within it.
    row = starts % height
    above, below = starts - (row > 0), starts + (row < height - 1)
    second, last = np.searchsorted(starts, (height, starts[-1] // height * height))
    left, right = slice(second, None), slice(last)
    for runs, others in (
        (slice(None), above),
        (left, above[left] - height),
        (left, starts[left] - height),
        (left, below[left] - height),
        (right, above[right] + height),
    ):
        pairs[values[runs] * count + pixels[others]] = True
    touch |= touch.T
    touch[0] = touch[:, 0] = False
    np.fill_diagonal(touch, False)
    return {label: set(np.flatnonzero(touch[label]).tolist()) for label in np.flatnonzero(touch.any(axis=1)).tolist()}
