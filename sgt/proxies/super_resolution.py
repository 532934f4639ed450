"""Super-resolution: the image from a coarse one (low level)."""

from typing import Literal

import numpy as np
from PIL import Image

from sgt.config.proxies import ProxyOptions
from sgt.proxies.base import CleanImage

FACTORS = (2, 4, 6, 8)


class SuperResolution(CleanImage):
    """Bicubic reduction by 2, 4, 6 or 8 (official recipe), enlarged again so that the model sees an image of the same
    size."""

    class Options(ProxyOptions):
        """Nothing to choose."""

        task: Literal["super-resolution"]

    name = "super-resolution"
    prompts = (
        "draw the coarse picture in detail",
        "make the picture finer",
        "raise the resolution",
        "add the missing detail",
        "show the picture at full resolution",
        "restore the fine lines",
    )

    def condition(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        """The image, coarse."""
        factor = int(rng.choice(FACTORS))
        small = (max(1, image.width // factor), max(1, image.height // factor))
        return image.resize(small, Image.Resampling.BICUBIC).resize(image.size, Image.Resampling.BICUBIC)
