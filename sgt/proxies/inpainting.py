"""Inpainting: the clean image from one that is partly hidden (low level; "MAE/Inpainting")."""

from typing import Literal

import numpy as np
from PIL import Image, ImageDraw
from pydantic import Field, model_validator

from sgt.config.proxies import ProxyOptions
from sgt.proxies.base import CleanImage

INTENSITIES = (0.3, 0.5, 0.6, 0.8)
# The official recipe's strokes step up to 50 px on photographs of 512 px; smaller images get proportionally less.
STEP_SHARE = 50 / 512
PATCH_GREY = 127


class Inpainting(CleanImage):
    """``strokes``: the image under the official recipe's strokes and rectangles (:func:`strokes`). ``patches``: a share
    of the squares of a grid is grey, as in masked autoencoders.
    """

    class Options(ProxyOptions):
        """What hides the image."""

        task: Literal["inpainting"]
        corruption: Literal["strokes", "patches"] = "strokes"
        ratio: float = Field(0.75, gt=0, lt=1, description="patches: share of the grid's squares that are hidden")
        patch: int = Field(16, ge=1, description="patches: side of a square, pixels of an image of 224")

        @model_validator(mode="after")
        def _possible(self) -> "Inpainting.Options":
            if self.corruption != "patches" and (named := self.model_fields_set & {"ratio", "patch"}):
                raise ValueError(f"corruption {self.corruption} has no {min(named)}: remove it")
            return self

    name = "inpainting"
    prompts = (
        "fill in what is covered",
        "remove the strokes and boxes",
        "complete the picture",
        "restore the hidden parts",
        "draw the picture without the marks",
        "repair the damaged picture",
    )

    def condition(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        """The image, partly hidden."""
        if self.options.corruption == "patches":
            return patches(image, self.options.ratio, self.options.patch, rng)
        return strokes(image, rng)


def patches(image: Image.Image, ratio: float, patch: int, rng: np.random.Generator) -> Image.Image:
    """The image with a share of the squares of a grid grey; ``patch`` is their side where the short side is 224."""
    side = max(1, round(min(image.size) * patch / 224))
    rows, columns = -(-image.height // side), -(-image.width // side)
    hidden = np.zeros(rows * columns, bool)
    hidden[rng.permutation(rows * columns)[: round(ratio * rows * columns)]] = True
    mask = hidden.reshape(rows, columns).repeat(side, 0).repeat(side, 1)[: image.height, : image.width]
    return Image.fromarray(np.where(mask[:, :, None], np.uint8(PATCH_GREY), np.asarray(image)))


def strokes(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The image under strokes and, sometimes, rectangles, all black or all white: the official recipe."""
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
