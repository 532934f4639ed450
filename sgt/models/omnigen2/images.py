"""Image → tensor for the language model and for the VAE (``omnigen2.md`` 4 and 7)."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sgt.atomic import write_json
from sgt.errors import SgtError
from sgt.json_files import json_fields
from sgt.models.omnigen2.rows import ImagePatches
from sgt.models.transforms import to_tensor

# CLIP's, as in Qwen2.5-VL.
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
WIDEST = 200


@dataclass(frozen=True)
class QwenTransform:
    """From an image to the vision tower's patches.

    Attributes:
        max_pixels, min_pixels: bounds of the scaled image's area.
        patch, merge, copies: pixels per patch, patches per token, per side; how often an image is repeated in time.
        mean, std: of the three colours, in [0, 1].
    """

    max_pixels: int
    min_pixels: int
    patch: int = 14
    merge: int = 2
    copies: int = 2
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD

    @property
    def stride(self) -> int:
        """Image pixels per token, per side."""
        return self.patch * self.merge

    def size(self, width: int, height: int) -> tuple[int, int]:
        """The (width, height), multiples of a token's pixels, that an image of this size is scaled to.

        Raises:
            SgtError: one side is more than 200 times the other.
        """
        factor = self.stride
        if max(width, height) > WIDEST * min(width, height):
            raise SgtError("image", f"{width}x{height} is too narrow", f"use sides of at most {WIDEST}:1")
        new = [max(factor, round(side / factor) * factor) for side in (width, height)]
        if new[0] * new[1] > self.max_pixels:
            scale = math.sqrt(width * height / self.max_pixels)
            new = [max(factor, math.floor(side / scale / factor) * factor) for side in (width, height)]
        elif new[0] * new[1] < self.min_pixels:
            scale = math.sqrt(self.min_pixels / (width * height))
            new = [math.ceil(side * scale / factor) * factor for side in (width, height)]
        return new[0], new[1]

    def outline(self, image: Image.Image) -> ImagePatches:
        """The patches of an image without their pixels; only its size is read.

        Raises:
            SgtError: as :meth:`size` does.
        """
        columns, rows = (side // self.patch for side in self.size(*image.size))
        return ImagePatches(torch.empty(0), (1, rows, columns), (rows // self.merge, columns // self.merge))

    def __call__(self, image: Image.Image) -> ImagePatches:
        """Scale (bicubic), normalise, and cut into patches, those of one token after one another."""
        outline = self.outline(image)
        (_, rows, columns), tokens = outline.grid, outline.tokens
        image, size = image.convert("RGB"), (columns * self.patch, rows * self.patch)
        image = image if size == image.size else image.resize(size, Image.Resampling.BICUBIC)
        pixels = torch.from_numpy(np.array(image, dtype=np.uint8)).permute(2, 0, 1).float() / 255
        pixels = (pixels - torch.tensor(self.mean)[:, None, None]) / torch.tensor(self.std)[:, None, None]
        cut = pixels.view(3, tokens[0], self.merge, self.patch, tokens[1], self.merge, self.patch)
        cut = cut.permute(1, 4, 2, 5, 0, 3, 6)[..., None, :, :].expand(*[-1] * 5, self.copies, -1, -1)
        return replace(outline, pixels=cut.reshape(rows * columns, -1))


class ReferenceTransform:
    """From an image to the VAE's input: never enlarged, both sides rounded down to a multiple.

    Args:
        max_pixels: larger images are scaled down by the square root of the excess.
        longest: the long side is at most this.
        stride: both sides become multiples of it.
    """

    def __init__(self, max_pixels: int, longest: int, stride: int) -> None:
        self.max_pixels, self.longest, self.stride = max_pixels, longest, stride

    def size(self, width: int, height: int) -> tuple[int, int]:
        """The (width, height) that an image of this size is scaled to, at least one multiple each."""
        ratio = min(1.0, math.sqrt(self.max_pixels / (width * height)), self.longest / max(width, height))
        new = [max(self.stride, int(side * ratio) // self.stride * self.stride) for side in (width, height)]
        return new[0], new[1]

    def resize(self, image: Image.Image) -> Image.Image:
        """The scaled RGB image: Lanczos, but nearest for palette images, whose colours are labels."""
        resample = Image.Resampling.NEAREST if image.mode == "P" else Image.Resampling.LANCZOS
        size = self.size(*image.size)
        if image.mode != "P":
            image = image.convert("RGB")
        return (image if size == image.size else image.resize(size, resample)).convert("RGB")

    def __call__(self, image: Image.Image) -> Tensor:
        """fp32 (3, H, W) in [-1, 1]."""
        return to_tensor(self.resize(image))


def read_normalisation(folder: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of the three colours, from a processor's ``preprocessor_config.json``.

    Raises:
        SgtError: it is missing or damaged.
    """
    path = folder / "preprocessor_config.json"
    try:
        with json_fields(path, "the settings of a processor", "fetch the file again") as settings:
            return tuple(settings["image_mean"]), tuple(settings["image_std"])
    except FileNotFoundError:
        raise SgtError(path, "no such file", "point at a folder in OmniGen2's official layout") from None


def write_processor(folder: Path, transform: QwenTransform) -> None:
    """Write ``preprocessor_config.json`` as Qwen2.5-VL's processor has it."""
    about = {
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2_5_VLProcessor",
        "min_pixels": transform.min_pixels,
        "max_pixels": transform.max_pixels,
        "patch_size": transform.patch,
        "temporal_patch_size": transform.copies,
        "merge_size": transform.merge,
        "image_mean": list(transform.mean),
        "image_std": list(transform.std),
    }
    write_json(folder / "preprocessor_config.json", about)
