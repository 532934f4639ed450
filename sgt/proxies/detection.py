"""Detection: the image with a box around every object (high level)."""

from collections import Counter
from typing import Literal

from PIL import Image, ImageDraw
from pydantic import Field

from sgt.config.fields import Probability
from sgt.config.proxies import ProxyOptions
from sgt.data.images import orientation_of_sample
from sgt.data.orientation import Box
from sgt.data.shards import Sample
from sgt.errors import SgtError
from sgt.proxies.base import Proxy
from sgt.proxies.palettes import MOST, palette
from sgt.proxies.segmentation import annotations


class Detection(Proxy):
    """The boxes of all annotations, larger ones first, in the palette's colours in turn from left to right."""

    class Options(ProxyOptions):
        """How boxes are drawn."""

        task: Literal["detection"]
        colours: int = Field(20, ge=1, le=MOST["distinct"], description="of the palette, in turn")
        line: float = Field(0.01, gt=0, le=0.2, description="width of a line, as a share of the short side")
        smallest: Probability = Field(0.0, description="share of the image below which a box is left out")

    name = "detection"
    level = "high"
    needs = ("json",)
    prompts = (
        "draw a box around every object",
        "put each object in a frame",
        "mark all the objects with boxes",
        "frame everything you see",
        "find the objects and box them",
        "draw bounding boxes",
    )

    def render(self, image: Image.Image, sample: Sample) -> Image.Image:
        """An RGB image."""
        colours = palette("distinct", self.options.colours)[1:]
        width = max(1, round(min(image.size) * self.options.line))
        boxes = [box for box in boxes_of(sample, image.size) if box is not None]
        least = self.options.smallest * image.width * image.height
        boxes = sorted(box for box in boxes if (box[2] - box[0]) * (box[3] - box[1]) >= least)
        drawn = image.copy()
        draw = ImageDraw.Draw(drawn)
        numbered = sorted(enumerate(boxes), key=lambda one: -(one[1][2] - one[1][0]) * (one[1][3] - one[1][1]))
        for place, (left, top, right, bottom) in numbered:
            corners = left, top, max(left, right - 1), max(top, bottom - 1)
            draw.rectangle(corners, outline=colours[place % len(colours)], width=width)
        return drawn

    def left_out(self, image: Image.Image, sample: Sample) -> Counter[str]:
        """Boxes without area."""
        return Counter("box without area" for box in boxes_of(sample, image.size) if box is None)

    def applies_to(self, sample: Sample) -> bool:
        """Whether the sample has annotations (a record of questions has none)."""
        return super().applies_to(sample) and "annotations" in sample.json()


def boxes_of(sample: Sample, size: tuple[int, int]) -> list[Box | None]:
    """The box of each of a sample's annotations, in an upright image of this (width, height); None without area.

    Raises:
        SgtError: as :func:`box_of` does.
    """
    turn = orientation_of_sample(sample)
    stored = turn.size(size)
    boxes = [box_of(each, stored, f"{sample.shard}: {sample.key}.json") for each in annotations(sample)]
    return [turn.box(box, stored) if box[0] < box[2] and box[1] < box[3] else None for box in boxes]


def box_of(annotation: dict, size: tuple[int, int], where: str) -> Box:
    """Left, top, right, bottom of an annotation's ``bbox`` (x, y, width, height), cut to the image.

    Raises:
        SgtError: it is not four numbers, or lies outside the image.
    """
    where = f"{where}: annotation {annotation['id']}"
    box = annotation.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(type(value) in (int, float) for value in box):
        raise SgtError(where, "bbox is not four numbers", "leave this sample out")
    x, y, width, height = box
    # Written so that what is not a number fails.
    if not (0 <= x <= size[0] and 0 <= y <= size[1] and 0 <= width <= 2 * size[0] and 0 <= height <= 2 * size[1]):
        raise SgtError(where, f"bbox {box} is not in the image of {size[0]}x{size[1]}", "leave this sample out")
    return x, y, min(x + width, size[0]), min(y + height, size[1])
