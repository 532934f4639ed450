"""Low-light enhancement: the image from a dark, noisy one (low level)."""

from typing import Literal

import numpy as np
from PIL import Image

from sgt.config.proxies import ProxyOptions
from sgt.proxies.base import CleanImage


class LowLight(CleanImage):
    """Brightness times 0.1 to 0.5, with noise of standard deviation 0.01 to 0.04 (official recipe)."""

    class Options(ProxyOptions):
        """No options."""

        task: Literal["low-light"]

    name = "low-light"
    prompts = (
        "brighten the dark picture",
        "turn the light on",
        "show the picture in daylight",
        "make the dark photo clear",
        "draw the picture well lit",
        "restore the light",
    )

    def condition(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        """The image, darkened and noisy."""
        brightness, noise = rng.uniform(0.1, 0.5), rng.uniform(0.01, 0.04)
        pixels = np.asarray(image, np.float64) / 255 * brightness
        noisy = np.clip(pixels + rng.normal(0, noise, pixels.shape), 0, 1)
        return Image.fromarray(np.round(255 * noisy).astype(np.uint8))
