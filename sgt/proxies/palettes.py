"""Palettes for label images.

``distinct``: black for the background, then colours chosen greedily from the 216 whose channels are in
{0, 51, …, 255}: each is the one farthest in CIELAB from all colours before it. The smallest distance between two of the
first 21 is 40.8; fewer colours are farther apart still. ``tab20``: matplotlib's twenty qualitative colours, as in the
paper's overview figure.
"""

from functools import cache
from itertools import product
from typing import Literal

import numpy as np
from matplotlib import colormaps

Palette = Literal["distinct", "tab20"]
Colour = tuple[int, int, int]

BACKGROUND: Colour = (0, 0, 0)
MAX_COLOURS = {"distinct": 215, "tab20": 20}


@cache
def palette(name: Palette, colours: int) -> tuple[Colour, ...]:
    """The background and then ``colours`` different RGB colours, at most ``MAX_COLOURS[name]``."""
    if name == "tab20":
        entries = np.rint(255 * np.array(colormaps["tab20"].colors)).astype(int).tolist()
        return (BACKGROUND, *(tuple(entry) for entry in entries[:colours]))
    return _farthest_points(colours + 1)


@cache
def _farthest_points(count: int) -> tuple[Colour, ...]:
    candidates = list(product(range(0, 256, 51), repeat=3))
    lab = _cielab(np.array(candidates))
    chosen = [0]
    distance = np.linalg.norm(lab - lab[0], axis=1)
    while len(chosen) < count:
        # Rounded, so that ties are broken alike on every machine.
        chosen.append(int(distance.round(6).argmax()))
        distance = np.minimum(distance, np.linalg.norm(lab - lab[chosen[-1]], axis=1))
    return tuple(candidates[index] for index in chosen)


def _cielab(rgb: np.ndarray) -> np.ndarray:
    """CIELAB (n, 3), white point D65, of sRGB colours (n, 3) from 0 to 255."""
    value = rgb / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
    xyz = linear @ to_xyz.T / (0.95047, 1.0, 1.08883)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)
