"""Deraining: the clear image from one in rain or fog (low level)."""

from typing import Literal

import numpy as np
from PIL import Image

from sgt.config.proxies import ProxyOptions
from sgt.proxies.base import CleanImage

STRENGTHS = (0.4, 0.6, 0.8)


class Derain(CleanImage):
    """Rain or fog of one of three strengths. The strengths are the official recipe's, the way of drawing is ours."""

    class Options(ProxyOptions):
        """No options."""

        task: Literal["derain"]

    name = "derain"
    prompts = (
        "remove the rain",
        "clear the fog away",
        "show the scene in dry weather",
        "take the bad weather out",
        "draw the picture without rain or fog",
        "restore the clear view",
    )

    def condition(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        """The image in rain or fog."""
        veil = (_rain if rng.random() < 0.5 else _fog)(image.height, image.width, float(rng.choice(STRENGTHS)), rng)
        pixels = np.asarray(image, np.float64)
        veiled = pixels + (235 - pixels) * veil[:, :, None]
        return Image.fromarray(np.round(np.clip(veiled, 0, 255)).astype(np.uint8))


def _rain(height: int, width: int, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Opacity (H, W), float64 in [0, 1], of streaks: drops smeared along a slanted direction."""
    from scipy import ndimage  # imported where it is used: every command of sgt loads the proxies

    drops = (rng.random((height, width)) < 0.02 * strength).astype(np.float64)
    length, slant = max(3, min(height, width) // 16), rng.uniform(-0.4, 0.4)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    streaks = sum(
        ndimage.map_coordinates(drops, [rows - step, columns - slant * step], order=1, mode="wrap")
        for step in range(length)
    )
    return strength * np.clip(streaks, 0, 1)


def _fog(height: int, width: int, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Opacity (H, W), float64 in [0, 1], of fog of uneven density."""
    from scipy import ndimage  # imported where it is used: every command of sgt loads the proxies

    clouds = ndimage.gaussian_filter(rng.random((height, width)), min(height, width) / 6, mode="wrap")
    spread = np.ptp(clouds)
    uneven = (clouds - clouds.min()) / spread if spread else np.full_like(clouds, 0.5)
    return strength * (0.7 + 0.3 * uneven)
