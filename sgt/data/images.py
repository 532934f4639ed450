"""Decoding and encoding of images, with the limits that hostile files run into."""

import io

import numpy as np
from PIL import Image

from sgt.errors import SgtError

MAX_PIXELS = 100_000_000


def decode_image(data: bytes, where: object) -> Image.Image:
    """Decode JPEG or PNG bytes to an RGB image (transparency is composited on white).

    Args:
        data: the file's bytes.
        where: what to name in an error.

    Raises:
        SgtError: not an image, truncated, or larger than ``MAX_PIXELS``.
    """
    image = _open(data, where)
    if image.mode in ("RGBA", "LA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.new("RGB", rgba.size, "white")
        image.paste(rgba, mask=rgba.getchannel("A"))
    return image.convert("RGB")


def decode_target(data: bytes, where: object) -> Image.Image:
    """Decode a rendered target: a palette image as it is, so that it is resized as labels; anything else as RGB."""
    image = _open(data, where)
    return image if image.mode == "P" else image.convert("RGB")


def decode_depth(data: bytes, where: object) -> np.ndarray:
    """Decode a 16-bit depth PNG to uint16 (H, W); 0 means unknown.

    Raises:
        SgtError: not a 16-bit single-channel image.
    """
    image = _open(data, where)
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


def _open(data: bytes, where: object) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(data), formats=("JPEG", "PNG"))
        if image.width * image.height > MAX_PIXELS:
            raise SgtError(where, f"{image.width}x{image.height} pixels is too large", "leave this sample out")
        image.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise SgtError(where, f"corrupt or not an image ({error})", "fetch or make the sample again") from None
    return image
