"""Decoding and encoding of images. All images are read here, with limits against hostile files.

JPEG, PNG, WebP, GIF (the first frame), BMP and TIFF are read; the content decides the format, not the file's name.
Images are turned upright, as every viewer shows them. Annotations and maps, which refer to the stored pixels, are
turned with them (:mod:`sgt.data.orientation`).
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from sgt.data.orientation import UPRIGHT, Orientation, orientation_of
from sgt.data.shards import Sample
from sgt.errors import SgtError

MAX_PIXELS = 100_000_000
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
# MAX_PIXELS is checked before any pixel is decoded, so Pillow's own limit and its warning are not needed.
Image.MAX_IMAGE_PIXELS = None
# Pillow's warnings about damaged metadata do not name the file; the metadata that matters is checked here.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_BITS_PER_SAMPLE = 258


@dataclass(frozen=True)
class Header:
    """What is known about an image before its pixels are decoded.

    Attributes:
        format: Pillow's name for it.
        size: (width, height) of the upright image.
        orientation: how its stored pixels are turned upright.
    """

    format: str
    size: tuple[int, int]
    orientation: Orientation

    @property
    def stored_size(self) -> tuple[int, int]:
        """(width, height) of the pixels as stored in the file."""
        return self.orientation.size(self.size)


def image_of(sample: Sample) -> Image.Image:
    """The decoded image of a sample; see :func:`decode_image`."""
    return decode_image(sample.image, sample.image_name)


def orientation_of_sample(sample: Sample) -> Orientation:
    """The orientation of a sample's image, to turn annotations and maps with it; upright if there is no image."""
    return read_header(sample.image, sample.image_name).orientation if sample.has_image else UPRIGHT


def decode_image(data: bytes, where: object) -> Image.Image:
    """Decode an image file to an upright RGB image; transparency is composited on white, 16 bits are scaled to 8.

    Args:
        data: the file's bytes.
        where: name of the file in errors.

    Raises:
        SgtError: not an image of a known format, truncated, or larger than ``MAX_PIXELS``.
    """
    image, header = _open(data, where)
    with _one_line_errors(where, header.format):
        image.load()
        image = _eight_bits(image)
        if image.has_transparency_data:
            rgba = image.convert("RGBA")
            image = Image.new("RGB", rgba.size, "white")
            image.paste(rgba, mask=rgba.getchannel("A"))
        image = image.convert("RGB")
    # Pillow has turned a TIFF already.
    return image if header.format == "TIFF" else header.orientation.image(image)


def read_header(data: bytes, where: object) -> Header:
    """Format, size and orientation of an image file; its beginning may be enough.

    Raises:
        SgtError: not an image of a known format, or larger than ``MAX_PIXELS``.
    """
    return _open(data, where)[1]


def checked_image(data: bytes, where: object) -> Header:
    """The header of an image, after decoding it at the lowest resolution that its format allows, to detect damage.

    Raises:
        SgtError: as :func:`decode_image` does.
    """
    image, header = _open(data, where)
    with _one_line_errors(where, header.format):
        image.draft("RGB", (1, 1))
        image.load()
    return header


def decode_target(data: bytes, where: object) -> Image.Image:
    """Decode a rendered target or a label map, as stored: a palette image stays one, so that it is resized by nearest
    neighbour; anything else becomes RGB.

    Of 16-bit grey the upper eight bits are kept, since models make images of eight bits.
    """
    image, header = _open(data, where)
    with _one_line_errors(where, header.format):
        image.load()
        return image if image.mode == "P" else _eight_bits(image).convert("RGB")


def decode_depth(data: bytes, where: object) -> np.ndarray:
    """Decode a 16-bit depth PNG to uint16 (H, W), as stored; 0 means unknown.

    Raises:
        SgtError: not a 16-bit single-channel image.
    """
    image, header = _open(data, where)
    with _one_line_errors(where, header.format):
        image.load()
        if not image.mode.startswith("I;16"):
            raise SgtError(where, f"depth must be a 16-bit grey PNG, not mode {image.mode}", "convert it")
        return np.asarray(image).astype(np.uint16)


def encode_jpeg(pixels: np.ndarray, quality: int = 95) -> bytes:
    """JPEG bytes of uint8 (H, W, 3), without chroma subsampling."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def encode_png(image: Image.Image | np.ndarray) -> bytes:
    """PNG bytes of an image; mode P keeps its palette."""
    buffer = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey reduced to its upper eight bits, as Pillow does with 16-bit colour; other modes unchanged."""
    if not image.mode.startswith("I;16"):
        return image
    bits = image.tag_v2.get(_BITS_PER_SAMPLE, (16,))[0] if isinstance(image, TiffImageFile) else 16
    values = np.asarray(image)
    grey = (values >> (bits - 8)).astype(np.uint8)
    # The one value that a PNG without an alpha channel may declare transparent.
    grey[values == image.info.get("transparency", -1)] = 255
    return Image.fromarray(grey)


def _open(data: bytes, where: object) -> tuple[Image.Image, Header]:
    """An image whose pixels are not decoded yet, and its header."""
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except MemoryError:
        raise
    except Exception:  # A damaged file may raise anything in Pillow.
        raise _unidentified(data, where) from None
    if image.format is None:
        raise _unidentified(data, where)
    width, height = image.size
    if width * height > MAX_PIXELS:
        problem = f"{image.format} of {width}x{height} pixels is too large"
        raise SgtError(where, problem, "make it smaller, or leave it out")
    if image.mode in ("I", "F"):
        raise SgtError(where, f"{image.format} of 32 bits per pixel, whose white is not known", "convert it to 8 bits")
    orientation = orientation_of(image, data)
    size = image.size if image.format == "TIFF" else orientation.size(image.size)
    return image, Header(image.format, size, orientation)


@contextmanager
def _one_line_errors(where: object, name: str) -> Iterator[None]:
    """Turn what Pillow raises for a damaged file of the format ``name`` into an ``SgtError``."""
    try:
        yield
    except (SgtError, MemoryError):
        raise
    except Exception as error:  # A damaged file may raise anything in Pillow.
        message = " ".join(str(error).split()) or type(error).__name__
        problem = f"corrupt or not an image ({name}: {message})"
        raise SgtError(where, problem, "replace the file, or leave it out") from None


def _unidentified(data: bytes, where: object) -> SgtError:
    """Why a file cannot be opened, with its format if that is known."""
    name, remedy = _format_name(data[:16].ljust(16, b"\0")), "convert it to JPEG or PNG, or leave it out"
    if name in FORMATS:
        reason = f"{name} whose header cannot be read"
    elif name:
        reason = f"{name}, which is not read"
    else:
        reason = f"it begins with {data[:12]!r}" if data else "it is empty"
        remedy = "replace the file, or leave it out"
    return SgtError(where, f"corrupt or not an image ({reason})", remedy)


def _format_name(beginning: bytes) -> str | None:
    """The format that the first 16 bytes of a file belong to; None if it is not known."""
    if beginning[4:8] == b"ftyp" and beginning[8:12] in _HEIC_BRANDS:
        return "HEIC"
    Image.init()
    known = ((name, accept) for name, (_, accept) in Image.OPEN.items() if accept)
    return next((name for name, accept in known if accept(beginning)), None)
