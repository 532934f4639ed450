"""Colours that tell labels apart.

``distinct``: black for the background, then colours, each the one of the 216 with channels in {0, 51, …, 255} that is
farthest in CIELAB from all before it. The closest two of the first 21 are 40.8 apart, so the first few differ even
more. ``tab20``: matplotlib's twenty qualitative colours, which the paper's overview figure shows.
"""

from functools import cache
from itertools import product
from typing import Literal

import numpy as np
from matplotlib import colormaps

Palette = Literal["distinct", "tab20"]
Colour = tuple[int, int, int]

BACKGROUND: Colour = (0, 0, 0)
MOST = {"distinct": 215, "tab20": 20}


@cache
def palette(name: Palette, colours: int) -> tuple[Colour, ...]:
    """Background and ``colours`` colours, no two the same; at most ``MOST[name]``."""
    if name == "tab20":
        entries = np.rint(255 * np.array(colormaps["tab20"].colors)).astype(int).tolist()
        return (BACKGROUND, *(tuple(entry) for entry in entries[:colours]))
    return _farthest(colours + 1)


@cache
def _farthest(count: int) -> tuple[Colour, ...]:
    candidates = list(product(range(0, 256, 51), repeat=3))
    lab = _cielab(np.array(candidates))
    chosen = [0]
    distance = np.linalg.norm(lab - lab[0], axis=1)
    while len(chosen) < count:
        # Rounded, so that equal distances are equal on every machine.
        chosen.append(int(distance.round(6).argmax()))
        distance = np.minimum(distance, np.linalg.norm(lab - lab[chosen[-1]], axis=1))
    return tuple(candidates[place] for place in chosen)


def _cielab(rgb: np.ndarray) -> np.ndarray:
    """CIELAB (n, 3), white point D65, of sRGB colours (n, 3) from 0 to 255."""
    value = rgb / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
    xyz = linear @ to_xyz.T / (0.95047, 1.0, 1.08883)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)
