"""Inpainting: the clean image from one that is partly covered (low level; "MAE/Inpainting")."""

from typing import Literal

import numpy as np
from PIL import Image, ImageDraw
from pydantic import Field, model_validator

from sgt.config.proxies import ProxyOptions
from sgt.proxies.base import CleanImage
from sgt.proxies.fidelity import PSNR, Measure, psnr

INTENSITIES = (0.3, 0.5, 0.6, 0.8)
# The segments of the official recipe's strokes are up to 50 pixels of 512 in each direction.
STEP_SHARE = 50 / 512
PATCH_GREY = 127
COVERED_PSNR = Measure("PSNR of the covered part", PSNR.unit, range=PSNR.range)


class Inpainting(CleanImage):
    """``strokes``: strokes and rectangles of the official recipe cover the image (:func:`strokes`). ``patches``: a
    share of the squares of a grid is grey, as in masked autoencoders.
    """

    class Options(ProxyOptions):
        """What covers the image."""

        task: Literal["inpainting"]
        corruption: Literal["strokes", "patches"] = "strokes"
        ratio: float = Field(0.75, gt=0, lt=1, description="patches: share of the grid's squares that are covered")
        patch: int = Field(16, ge=1, description="patches: side of a square, in pixels of a 224x224 image")

        @model_validator(mode="after")
        def _check_consistent(self) -> "Inpainting.Options":
            if self.corruption != "patches" and (unused := self.model_fields_set & {"ratio", "patch"}):
                raise ValueError(f"corruption {self.corruption} has no {min(unused)}: remove it")
            return self

    options: Options
    name = "inpainting"
    sheet_order = 5
    prompts = (
        "fill in what is covered",
        "remove the strokes and boxes",
        "complete the picture",
        "restore the hidden parts",
        "draw the picture without the marks",
        "repair the damaged picture",
    )

    def condition(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        """The image, partly covered."""
        if self.options.corruption == "patches":
            return patches(image, self.options.ratio, self.options.patch, rng)
        return strokes(image, rng)

    def fidelity(self, made: Image.Image, target: Image.Image, given: Image.Image) -> dict[Measure, float]:
        """As of any image, and of the pixels that were covered alone."""
        one, other, shown = (np.asarray(image) for image in (made, target, given))
        covered = (shown != other).any(axis=2)
        return {**super().fidelity(made, target, given), COVERED_PSNR: psnr(one[covered], other[covered])}


def patches(image: Image.Image, ratio: float, patch: int, rng: np.random.Generator) -> Image.Image:
    """The image with a share ``ratio`` of the squares of a grid grey, of side ``patch`` for a short side of 224."""
    side = max(1, round(min(image.size) * patch / 224))
    rows, columns = -(-image.height // side), -(-image.width // side)
    covered = np.zeros(rows * columns, bool)
    covered[rng.permutation(rows * columns)[: round(ratio * rows * columns)]] = True
    mask = covered.reshape(rows, columns).repeat(side, 0).repeat(side, 1)[: image.height, : image.width]
    return Image.fromarray(np.where(mask[:, :, None], np.uint8(PATCH_GREY), np.asarray(image)))


def strokes(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The image with strokes and sometimes rectangles over it, all black or all white, as in the official recipe."""
    intensity = float(rng.choice(INTENSITIES))
    fill = (255,) * 3 if rng.random() < 0.5 else (0,) * 3
    corrupted = image.copy()
    draw = ImageDraw.Draw(corrupted)
    for _ in range(rng.integers(1, int(3 + 12 * intensity), endpoint=True)):
        _stroke(draw, image.size, intensity, fill, rng)
    if rng.random() < 0.3 + 0.5 * intensity:
        for _ in range(rng.integers(1, int(5 + 10 * intensity), endpoint=True)):
            _rectangle(draw, image.size, intensity, fill, rng)
    return corrupted


def _stroke(draw: ImageDraw.ImageDraw, size: tuple[int, int], intensity: float, fill: tuple, rng) -> None:
    short = min(size)
    step = max(1, round(short * STEP_SHARE))
    thickness = int(rng.integers(2, max(3, int(short * (0.02 + 0.1 * intensity))), endpoint=True))
    point = (int(rng.integers(size[0])), int(rng.integers(size[1])))
    points = [point]
    for _ in range(rng.integers(2, int(4 + 12 * intensity), endpoint=True) - 1):
        dx, dy = rng.integers(-step, step, size=2, endpoint=True).tolist()
        point = (min(max(point[0] + dx, 0), size[0] - 1), min(max(point[1] + dy, 0), size[1] - 1))
        points.append(point)
    draw.line(points, fill=fill, width=thickness, joint="curve")


def _rectangle(draw: ImageDraw.ImageDraw, size: tuple[int, int], intensity: float, fill: tuple, rng) -> None:
    short = min(size)
    low, high = max(1, int(0.05 * short)), max(2, int((0.1 + 0.4 * intensity) * short))
    width, height = rng.integers(low, high, size=2, endpoint=True).tolist()
    left, top = int(rng.integers(max(1, size[0] - width))), int(rng.integers(max(1, size[1] - height)))
    draw.rectangle((left, top, left + width - 1, top + height - 1), fill=fill)
