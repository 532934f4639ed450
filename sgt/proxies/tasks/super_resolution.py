"""Super-resolution: the image from one of low resolution (low level)."""

from typing import Literal

import numpy as np
from PIL import Image

from sgt.config.proxies import ProxyOptions
from sgt.proxies.base import CleanImage

FACTORS = (2, 4, 6, 8)


class SuperResolution(CleanImage):
    """Bicubic downsampling by 2, 4, 6 or 8 (official recipe), upsampled again so that the input has the target's
    size."""

    class Options(ProxyOptions):
        """No options."""

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
        """The image at low resolution."""
        factor = int(rng.choice(FACTORS))
        small = (max(1, image.width // factor), max(1, image.height // factor))
        return image.resize(small, Image.Resampling.BICUBIC).resize(image.size, Image.Resampling.BICUBIC)
