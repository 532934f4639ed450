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

Palette = Literal["distinct", "tab20"]
Colour = tuple[int, int, int]

BACKGROUND: Colour = (0, 0, 0)
MAX_COLOURS = {"distinct": 215, "tab20": 20}


@cache
def palette(name: Palette, colours: int) -> tuple[Colour, ...]:
    """The background and then ``colours`` different RGB colours, at most ``MAX_COLOURS[name]``."""
    if name == "tab20":
        from matplotlib import colormaps  # imported where it is used: every command of sgt loads the proxies

        entries = np.rint(255 * colormaps["tab20"](np.arange(MAX_COLOURS["tab20"]))[:, :3]).astype(int).tolist()
        return (BACKGROUND, *((red, green, blue) for red, green, blue in entries[:colours]))
    return _farthest_points(colours + 1)


@cache
def _farthest_points(count: int) -> tuple[Colour, ...]:
    from skimage.color import rgb2lab  # imported where it is used: every command of sgt loads the proxies

    levels = range(0, 256, 51)
    candidates = list(product(levels, levels, levels))
    lab = rgb2lab(np.array(candidates) / 255)
    chosen = [0]
    distance = np.linalg.norm(lab - lab[0], axis=1)
    while len(chosen) < count:
        # Rounded, so that ties are broken alike on every machine.
        chosen.append(int(distance.round(6).argmax()))
        distance = np.minimum(distance, np.linalg.norm(lab - lab[chosen[-1]], axis=1))
    return tuple(candidates[index] for index in chosen)
