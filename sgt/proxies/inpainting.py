"""Inpainting: the clean image from one with strokes and rectangles over it (low level; "MAE/Inpainting")."""

import numpy as np
from PIL import Image, ImageDraw

from sgt.data.shards import Sample
from sgt.proxies.base import Proxy

INTENSITIES = (0.3, 0.5, 0.6, 0.8)
# The official recipe's strokes step up to 50 px on photographs of 512 px; smaller images get proportionally less.
STEP_SHARE = 50 / 512


class Inpainting(Proxy):
    """The target is the image; what the model sees is corrupted by the official recipe (``sgt.md`` 2.1)."""

    name = "inpainting"
    level = "low"
    prompts = (
        "fill in what is covered",
        "remove the strokes and boxes",
        "complete the picture",
        "restore the hidden parts",
        "draw the picture without the marks",
        "repair the damaged picture",
    )

    def render(self, image: Image.Image, sample: Sample) -> Image.Image:
        """The image."""
        return image

    def condition(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        """The image under strokes and, sometimes, rectangles, all black or all white."""
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
