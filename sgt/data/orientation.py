"""Which way up a stored picture belongs: the orientation that cameras write instead of turning the pixels."""

from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Orientation:
    """How stored pixels become upright ones: mirrored, then flipped, then transposed, each or not.

    Annotations, maps and depth lie over the stored pixels, so they are turned as the picture is.

    Attributes:
        mirrored: left and right change places.
        flipped: top and bottom change places.
        transposed: rows become columns.
    """

    mirrored: bool = False
    flipped: bool = False
    transposed: bool = False

    def size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The upright (width, height) of a stored one, and the other way round."""
        return size[::-1] if self.transposed else size

    def pixels(self, stored: np.ndarray) -> np.ndarray:
        """An array (H, W, …) of stored pixels, upright."""
        if self.mirrored:
            stored = stored[:, ::-1]
        if self.flipped:
            stored = stored[::-1]
        return stored.swapaxes(0, 1) if self.transposed else stored

    def image(self, stored: Image.Image) -> Image.Image:
        """An image of stored pixels, upright; the same object if it is so already."""
        for applies, how in (
            (self.mirrored, Image.Transpose.FLIP_LEFT_RIGHT),
            (self.flipped, Image.Transpose.FLIP_TOP_BOTTOM),
            (self.transposed, Image.Transpose.TRANSPOSE),
        ):
            stored = stored.transpose(how) if applies else stored
        return stored

    def box(self, stored: Box, size: tuple[int, int]) -> Box:
        """Left, top, right and bottom of a box over the stored pixels, of an image of this stored size, upright."""
        left, top, right, bottom = stored
        if self.mirrored:
            left, right = size[0] - right, size[0] - left
        if self.flipped:
            top, bottom = size[1] - bottom, size[1] - top
        return (top, left, bottom, right) if self.transposed else (left, top, right, bottom)


UPRIGHT = Orientation()
# By the number that EXIF gives each; anything else is taken for upright.
_BY_NUMBER = {
    2: Orientation(mirrored=True),
    3: Orientation(mirrored=True, flipped=True),
    4: Orientation(flipped=True),
    5: Orientation(transposed=True),
    6: Orientation(flipped=True, transposed=True),
    7: Orientation(mirrored=True, flipped=True, transposed=True),
    8: Orientation(mirrored=True, transposed=True),
}
# Of a PNG that names none of these, Pillow would decode every pixel to see whether more follows them.
_PNG_MARKS = (b"eXIf", b"Raw profile type", b"XML:com.adobe.xmp")


def orientation_of(image: Image.Image, data: bytes) -> Orientation:
    """The orientation of an image that was opened from ``data`` and not loaded yet; upright if it tells none."""
    if image.format == "PNG" and not any(mark in data for mark in _PNG_MARKS):
        return UPRIGHT
    try:
        return _BY_NUMBER.get(image.getexif().get(ExifTags.Base.Orientation), UPRIGHT)
    except MemoryError:
        raise
    except Exception:  # Pillow raises what it runs into; viewers show a picture whose metadata is damaged as it lies.
        return UPRIGHT
