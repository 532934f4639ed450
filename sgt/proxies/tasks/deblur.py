"""Deblurring: the sharp image from one blurred by motion (low level)."""

from typing import Literal

import numpy as np
from PIL import Image

from sgt.config.proxies import ProxyOptions
from sgt.proxies.base import CleanImage

# The official recipe's lengths, in pixels of an image of 512x512.
LENGTHS = (10, 20, 30)


class Deblur(CleanImage):
    """Motion blur along a line of random direction, whose length is one of three shares of the short side."""

    class Options(ProxyOptions):
        """No options."""

        task: Literal["deblur"]

    name = "deblur"
    prompts = (
        "make the blurred picture sharp",
        "remove the motion blur",
        "sharpen the picture",
        "undo the shake of the camera",
        "draw the picture without blur",
        "restore the sharp photo",
    )

    def condition(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        """The image, blurred."""
        # Imported where it is used: every command of sgt loads the proxies.
        from scipy.ndimage import convolve1d, rotate

        length = max(2, round(int(rng.choice(LENGTHS)) * min(image.size) / 512))
        angle = rng.uniform(0, 180)
        pixels = np.asarray(image, np.float32)
        # Rotated so that the motion is along the rows, blurred, and rotated back; the margin keeps the corners.
        margin = int(np.ceil(np.hypot(*image.size) - min(image.size))) // 2 + length
        padded = np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")
        rotated = rotate(padded, angle, reshape=False, order=1, mode="reflect")
        blurred = convolve1d(rotated, np.full(length, 1 / length), axis=1, mode="reflect")
        back = rotate(blurred, -angle, reshape=False, order=1, mode="reflect")
        inner = back[margin : margin + image.height, margin : margin + image.width]
        return Image.fromarray(np.round(np.clip(inner, 0, 255)).astype(np.uint8))
