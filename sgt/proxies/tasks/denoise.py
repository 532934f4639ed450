"""Denoising: the clean image from a noisy one (low level)."""

import io
from typing import Literal

import numpy as np
from PIL import Image

from sgt.config.proxies import ProxyOptions
from sgt.proxies.base import CleanImage


class Denoise(CleanImage):
    """Gaussian, JPEG, Poisson and salt-and-pepper noise, each with its own probability, in random order (official
    recipe)."""

    class Options(ProxyOptions):
        """No options."""

        task: Literal["denoise"]

    name = "denoise"
    prompts = (
        "remove the noise",
        "clean the grainy picture",
        "make the speckled picture smooth",
        "take the grain away",
        "draw the picture without noise",
        "restore the clean photo",
    )

    def condition(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        """The image with noise; Gaussian noise if no kind was drawn."""
        chosen = [noise for noise, probability in _NOISES if rng.random() < probability] or [_gaussian]
        pixels = np.asarray(image, np.float64) / 255
        for index in rng.permutation(len(chosen)):
            pixels = np.clip(chosen[index](pixels, rng), 0, 1)
        return Image.fromarray(np.round(255 * pixels).astype(np.uint8))


def _gaussian(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return pixels + rng.normal(0, rng.uniform(5, 50) / 255, pixels.shape)


def _jpeg(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    file = io.BytesIO()
    image = Image.fromarray(np.round(255 * pixels).astype(np.uint8))
    image.save(file, "JPEG", quality=int(rng.integers(30, 50, endpoint=True)))
    return np.asarray(Image.open(file), np.float64) / 255


def _poisson(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    scale = rng.uniform(10, 50)
    return rng.poisson(pixels * scale) / scale


def _salt_and_pepper(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    hit = rng.random(pixels.shape[:2]) < rng.uniform(0.005, 0.05)
    value = rng.integers(0, 2, pixels.shape[:2]).astype(float)
    return np.where(hit[:, :, None], value[:, :, None], pixels)


_NOISES = ((_gaussian, 0.8), (_jpeg, 0.5), (_poisson, 0.5), (_salt_and_pepper, 0.2))
