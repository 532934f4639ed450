"""Showing a made label map in the colours of its true target, where colours have no meaning of their own."""

import numpy as np
from PIL import Image

from sgt.proxies.fidelity import nearest_colours


def permuted_colours(made: Image.Image, target: Image.Image, colours: np.ndarray) -> Image.Image:
    """A made image with the colours of a palette permuted so that it overlaps with the target as much as possible.

    A pixel stays as far from the colour that replaces its nearest one as it was from that, so that what is not exactly
    of one colour stays so. A colour that overlaps with nothing stays where it can.

    Args:
        made: RGB.
        target: RGB, in colours of the palette; of any size.
        colours: uint8 (n, 3), the first is the background, which stays.
    """
    from scipy.optimize import linear_sum_assignment  # imported where it is used: every command loads the proxies

    colours = np.asarray(colours, np.int64)
    true = nearest_colours(target.resize(made.size, Image.Resampling.NEAREST), colours)
    labels = nearest_colours(made, colours)
    overlap = np.zeros((len(colours), len(colours)))
    np.add.at(overlap, (labels, true), 1)
    foreground = overlap[1:, 1:] + np.eye(len(colours) - 1) / 2
    replaced_by = np.array([0, *(linear_sum_assignment(foreground, maximize=True)[1] + 1)])
    nearest, new = colours[labels], colours[replaced_by][labels]
    away = np.asarray(made, np.int64) - nearest
    # To the other side, where this one has no values.
    pixels = np.where((new + away < 0) | (new + away > 255), new - away, new + away)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
