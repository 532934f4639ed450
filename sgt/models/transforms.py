"""Image → tensor, at the size a model takes (``bagel.md`` 5)."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor


class TargetTransform(Protocol):
    """From any image to one of a size that a model generates."""

    def size(self, width: int, height: int) -> tuple[int, int]:
        """The (width, height) that an image of this size is scaled to."""

    def resize(self, image: Image.Image) -> Image.Image:
        """The scaled RGB image; palette images, whose colours are labels, keep them."""

    def __call__(self, image: Image.Image) -> Tensor:
        """fp32 (3, H, W) in [-1, 1]."""


class ImageTransform:
    """Scale an image so that its sides lie within bounds and are multiples of a stride, then map it to [-1, 1].

    Args:
        longest: the long side is at most this, which wins over ``shortest``.
        shortest: the short side is at least this.
        stride: both sides become the nearest multiple (at least one).
        max_pixels: larger images are scaled down by the square root of the excess.
    """

    def __init__(self, longest: int, shortest: int, stride: int, max_pixels: int = 14 * 14 * 9 * 1024) -> None:
        self.longest, self.shortest, self.stride, self.max_pixels = longest, shortest, stride, max_pixels

    def size(self, width: int, height: int) -> tuple[int, int]:
        """The (width, height) that an image of this size is scaled to."""
        scale = max(min(self.longest / max(width, height), 1.0), self.shortest / min(width, height))
        new = self._round(width * scale), self._round(height * scale)
        if new[0] * new[1] > self.max_pixels:
            excess = (self.max_pixels / (new[0] * new[1])) ** 0.5
            new = self._round(new[0] * excess), self._round(new[1] * excess)
        if max(new) > self.longest:
            excess = self.longest / max(new)
            new = self._round(new[0] * excess), self._round(new[1] * excess)
        return new

    def resize(self, image: Image.Image) -> Image.Image:
        """The scaled RGB image: bicubic, but nearest for palette images, whose colours are labels."""
        resample = Image.Resampling.NEAREST if image.mode == "P" else Image.Resampling.BICUBIC
        size = self.size(*image.size)
        return (image if size == image.size else image.resize(size, resample)).convert("RGB")

    def __call__(self, image: Image.Image) -> Tensor:
        """fp32 (3, H, W) in [-1, 1]."""
        return to_tensor(self.resize(image))

    def _round(self, side: float) -> int:
        return max(self.stride, round(round(side) / self.stride) * self.stride)


def to_tensor(image: Image.Image) -> Tensor:
    """RGB image → fp32 (3, H, W) in [-1, 1]."""
    pixels = torch.from_numpy(np.array(image, dtype=np.uint8))
    return pixels.permute(2, 0, 1).float().div_(127.5).sub_(1.0)


def patches(pixels: Tensor, size: int) -> Tensor:
    """(C, H, W) → (H/size · W/size, C·size²), each patch in the order row, column, channel."""
    channels, height, width = pixels.shape
    cut = pixels.reshape(channels, height // size, size, width // size, size)
    return cut.permute(1, 3, 2, 4, 0).reshape(-1, channels * size * size)


def from_patches(tokens: Tensor, shape: tuple[int, int], size: int) -> Tensor:
    """The inverse of :func:`patches`: tokens of an image of ``shape`` (h, w) tokens → (C, h·size, w·size)."""
    h, w = shape
    return tokens.reshape(h, w, size, size, -1).permute(4, 0, 2, 1, 3).reshape(-1, h * size, w * size)


def to_images(pixels: Tensor) -> list[Image.Image]:
    """(B, 3, H, W) in [-1, 1], clamped → RGB images."""
    pixels = (pixels.float() / 2 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8)
    return [Image.fromarray(array) for array in pixels.permute(0, 2, 3, 1).cpu().numpy()]


def transform_of(bounds: Sequence[int]) -> ImageTransform:
    """From a config's (longest side, shortest side, stride)."""
    return ImageTransform(*bounds)
