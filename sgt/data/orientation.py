"""The orientation of an image (EXIF), which cameras store instead of turning the pixels."""

from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Orientation:
    """How stored pixels are turned upright: mirrored, then flipped, then transposed, each only if set.

    Annotations, maps and depth refer to the stored pixels, so they are turned like the image.

    Attributes:
        mirrored: left and right are exchanged.
        flipped: top and bottom are exchanged.
        transposed: rows and columns are exchanged.
    """

    mirrored: bool = False
    flipped: bool = False
    transposed: bool = False

    def size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Upright (width, height) from stored (width, height), or the reverse."""
        return size[::-1] if self.transposed else size

    def pixels(self, stored: np.ndarray) -> np.ndarray:
        """An array (H, W, …) of stored pixels, turned upright."""
        if self.mirrored:
            stored = stored[:, ::-1]
        if self.flipped:
            stored = stored[::-1]
        return stored.swapaxes(0, 1) if self.transposed else stored

    def image(self, stored: Image.Image) -> Image.Image:
        """An image of stored pixels, turned upright; the same object if nothing changes."""
        for applies, how in (
            (self.mirrored, Image.Transpose.FLIP_LEFT_RIGHT),
            (self.flipped, Image.Transpose.FLIP_TOP_BOTTOM),
            (self.transposed, Image.Transpose.TRANSPOSE),
        ):
            stored = stored.transpose(how) if applies else stored
        return stored

    def box(self, stored: Box, size: tuple[int, int]) -> Box:
        """A box (left, top, right, bottom) in stored pixels, turned upright; ``size`` is the stored (width, height)."""
        left, top, right, bottom = stored
        if self.mirrored:
            left, right = size[0] - right, size[0] - left
        if self.flipped:
            top, bottom = size[1] - bottom, size[1] - top
        return (top, left, bottom, right) if self.transposed else (left, top, right, bottom)


UPRIGHT = Orientation()
# By EXIF value; any other value counts as upright.
_BY_NUMBER = {
    2: Orientation(mirrored=True),
    3: Orientation(mirrored=True, flipped=True),
    4: Orientation(flipped=True),
    5: Orientation(transposed=True),
    6: Orientation(flipped=True, transposed=True),
    7: Orientation(mirrored=True, flipped=True, transposed=True),
    8: Orientation(mirrored=True, transposed=True),
}
# A PNG without any of these is skipped: Pillow would decode all of its pixels to look for metadata behind them.
_PNG_MARKS = (b"eXIf", b"Raw profile type", b"XML:com.adobe.xmp")


def orientation_of(image: Image.Image, data: bytes) -> Orientation:
    """The orientation of an image that was opened from ``data`` and is not loaded yet; upright if none is stored."""
    if image.format == "PNG" and not any(mark in data for mark in _PNG_MARKS):
        return UPRIGHT
    try:
        return _BY_NUMBER.get(image.getexif().get(ExifTags.Base.Orientation, 1), UPRIGHT)
    except MemoryError:
        raise
    except Exception:  # Damaged metadata may raise anything in Pillow; viewers then show the pixels as stored.
        return UPRIGHT
