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
from sgt.proxies.annotations import annotations
from sgt.proxies.base import Proxy
from sgt.proxies.palettes import MAX_COLOURS, palette


class Detection(Proxy):
    """The boxes of all annotations, smaller ones on top of larger ones, in the palette's colours from left to right,
    beginning again after the last colour."""

    class Options(ProxyOptions):
        """How boxes are drawn."""

        task: Literal["detection"]
        colours: int = Field(20, ge=1, le=MAX_COLOURS["distinct"], description="colours of the palette that are used")
        line: float = Field(0.01, gt=0, le=0.2, description="width of a line, as a share of the short side")
        smallest: Probability = Field(0.0, description="share of the image below which a box is left out")

    options: Options
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
        boxes = sorted(box for box in boxes if _area(box) >= least)
        drawn = image.copy()
        draw = ImageDraw.Draw(drawn)
        largest_first = sorted(enumerate(boxes), key=lambda item: -_area(item[1]))
        for index, (left, top, right, bottom) in largest_first:
            corners = left, top, max(left, right - 1), max(top, bottom - 1)
            draw.rectangle(corners, outline=colours[index % len(colours)], width=width)
        return drawn

    def left_out(self, image: Image.Image, sample: Sample) -> Counter[str]:
        """Boxes without area, and those below ``smallest``."""
        least = self.options.smallest * image.width * image.height
        return Counter(
            "box below smallest" if box else "box without area"
            for box in boxes_of(sample, image.size)
            if box is None or _area(box) < least
        )

    def applies_to(self, sample: Sample) -> bool:
        """Whether the sample has annotations; a record of questions has none."""
        return super().applies_to(sample) and "annotations" in sample.json()


def _area(box: Box) -> float:
    left, top, right, bottom = box
    return (right - left) * (bottom - top)


def boxes_of(sample: Sample, size: tuple[int, int]) -> list[Box | None]:
    """The box (left, top, right, bottom) of each annotation in the upright image; None if it has no area.

    Args:
        sample: with annotations.
        size: (width, height) of the upright image.

    Raises:
        SgtError: as :func:`box_of` does.
    """
    orientation = orientation_of_sample(sample)
    stored = orientation.size(size)
    boxes = [box_of(each, stored, f"{sample.shard}: {sample.key}.json") for each in annotations(sample)]
    return [
        orientation.box((left, top, right, bottom), stored) if left < right and top < bottom else None
        for left, top, right, bottom in boxes
    ]


def box_of(annotation: dict, size: tuple[int, int], where: str) -> Box:
    """Left, top, right, bottom of an annotation's ``bbox`` (x, y, width, height), clipped to an image of this
    (width, height).

    Raises:
        SgtError: it is not four numbers, or lies outside the image.
    """
    where = f"{where}: annotation {annotation['id']}"
    box = annotation.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(type(value) in (int, float) for value in box):
        raise SgtError(where, "bbox is not four numbers", "leave this sample out")
    x, y, width, height = box
    # Written so that NaN fails.
    if not (0 <= x <= size[0] and 0 <= y <= size[1] and 0 <= width <= 2 * size[0] and 0 <= height <= 2 * size[1]):
        raise SgtError(where, f"bbox {box} is not in the image of {size[0]}x{size[1]}", "leave this sample out")
    return x, y, min(x + width, size[0]), min(y + height, size[1])
