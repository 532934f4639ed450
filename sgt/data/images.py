"""Decoding and encoding of images, with the limits that hostile files run into."""

import io

import numpy as np
from PIL import Image

from sgt.errors import SgtError

MAX_PIXELS = 100_000_000
_BROKEN = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


def decode_image(data: bytes, where: object) -> Image.Image:
    """Decode JPEG or PNG bytes to an RGB image (transparency is composited on white).

    Args:
        data: the file's bytes.
        where: what to name in an error.

    Raises:
        SgtError: not an image, truncated, or larger than ``MAX_PIXELS``.
    """
    image = _loaded(data, where)
    if image.mode in ("RGBA", "LA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.new("RGB", rgba.size, "white")
        image.paste(rgba, mask=rgba.getchannel("A"))
    return image.convert("RGB")


def checked_image(data: bytes, where: object) -> Image.Image:
    """An image of which only the size is wanted: decoded as coarsely as its format can, to know that it is whole.

    Raises:
        SgtError: as :func:`decode_image` does.
    """
    _loaded(data, where, coarsely=True)
    return _opened(data, where)


def decode_target(data: bytes, where: object) -> Image.Image:
    """Decode a rendered target: a palette image as it is, so that it is resized as labels; anything else as RGB.

    Of 16-bit grey the upper eight bits are kept, which is all that a model makes.
    """
    image = _loaded(data, where)
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image if image.mode == "P" else image.convert("RGB")


def decode_depth(data: bytes, where: object) -> np.ndarray:
    """Decode a 16-bit depth PNG to uint16 (H, W); 0 means unknown.

    Raises:
        SgtError: not a 16-bit single-channel image.
    """
    image = _loaded(data, where)
    if not image.mode.startswith("I"):
        raise SgtError(where, f"depth must be a 16-bit grey PNG, not mode {image.mode}", "convert it")
    return np.asarray(image).astype(np.uint16)


def encode_jpeg(pixels: np.ndarray, quality: int = 95) -> bytes:
    """JPEG bytes of uint8 (H, W, 3), without chroma subsampling."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def encode_png(image: Image.Image | np.ndarray) -> bytes:
    """PNG bytes of an image; the palette of mode P is kept."""
    buffer = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def _loaded(data: bytes, where: object, coarsely: bool = False) -> Image.Image:
    image = _opened(data, where)
    try:
        if coarsely:
            image.draft("RGB", (1, 1))
        image.load()
    except _BROKEN as error:
        raise _refusal(where, error) from None
    return image


def _opened(data: bytes, where: object) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(data), formats=("JPEG", "PNG"))
    except _BROKEN as error:
        raise _refusal(where, error) from None
    if image.width * image.height > MAX_PIXELS:
        raise SgtError(where, f"{image.width}x{image.height} pixels is too large", "leave this sample out")
    return image


def _refusal(where: object, error: Exception) -> SgtError:
    return SgtError(where, f"corrupt or not an image ({error})", "fetch or make the sample again")
