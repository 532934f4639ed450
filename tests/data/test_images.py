"""Images as found in practice: orientation, formats and bit depths, and one-line errors for other files."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from sgt.data.images import checked_image, decode_image, decode_target, encode_jpeg, read_header
from sgt.data.shards import Sample
from sgt.errors import SgtError

# Three colours, so that no turn of it looks like another.
PIXELS = np.zeros((40, 60, 3), np.uint8)
PIXELS[:20, :30], PIXELS[20:, :30], PIXELS[:20, 30:] = (240, 0, 0), (0, 240, 0), (0, 0, 240)
WRITERS = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "PNG": {},
    "WEBP": {"lossless": True},
    "TIFF": {"compression": "tiff_lzw"},
}


def written(image: Image.Image, form: str, **how: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **how)
    return buffer.getvalue()


def tagged(orientation: int, form: str = "PNG", pixels: np.ndarray = PIXELS) -> bytes:
    """A file whose stored pixels are these."""
    tag = Image.Exif()
    tag[0x0112] = orientation
    return written(Image.fromarray(pixels), form, exif=tag, **WRITERS[form])


def seen(orientation: int) -> np.ndarray:
    """What a viewer shows of it, by Pillow's own turning of a PNG."""
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(tagged(orientation)))))


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_upright_as_in_viewers(form, orientation):
    content, upright = tagged(orientation, form), seen(orientation)
    assert np.abs(np.asarray(decode_image(content, "photo")).astype(int) - upright).max() <= 20
    header = read_header(content, "photo")
    assert checked_image(content, "photo") == header
    assert (header.format, header.stored_size) == (form, (60, 40))
    assert header.size == upright.shape[1::-1]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_annotations_and_maps_turn_with_the_stored_pixels(orientation):
    turn = read_header(tagged(orientation), "photo").orientation
    assert (turn.pixels(PIXELS) == seen(orientation)).all()
    assert (np.asarray(turn.image(Image.fromarray(PIXELS))) == seen(orientation)).all()
    inside = np.zeros((40, 60), bool)
    inside[5:12, 7:30] = True
    rows, columns = np.nonzero(turn.pixels(inside))
    box = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    assert turn.box((7, 5, 30, 12), (60, 40)) == box


def test_an_invalid_orientation_leaves_the_image_unchanged():
    assert decode_image(tagged(9), "photo").size == (60, 40)
    whole = tagged(6, "JPEG")
    place = whole.index(b"Exif")
    damaged = whole[: place + 8] + b"\xff" * 12 + whole[place + 20 :]
    assert decode_image(damaged, "photo").size == (60, 40)


def test_an_orientation_in_xmp_counts():
    about = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    assert decode_image(written(Image.fromarray(PIXELS), "JPEG", xmp=about), "photo").size == (40, 60)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_not_clipped(form):
    grey = np.arange(0, 65536, 64, dtype=np.uint16).reshape(32, 32)
    decoded = np.asarray(decode_image(written(Image.fromarray(grey), form), "photo"))
    assert (decoded == (grey >> 8)[:, :, None]).all() and decoded.max() == 255


def test_one_transparent_grey_of_sixteen_bits_is_white():
    grey = np.array([[1000, 40000]], np.uint16)
    content = written(Image.fromarray(grey), "PNG", transparency=1000)
    assert np.asarray(decode_image(content, "photo"))[0, :, 0].tolist() == [255, 40000 >> 8]


@pytest.mark.parametrize(
    ("mode", "form"),
    [
        ("1", "PNG"),
        ("L", "GIF"),
        ("P", "PNG"),
        ("P", "GIF"),
        ("P", "BMP"),
        ("LA", "PNG"),
        ("LA", "TIFF"),
        ("RGB", "BMP"),
        ("RGBA", "WEBP"),
        ("RGBA", "TIFF"),
        ("CMYK", "JPEG"),
        ("CMYK", "TIFF"),
        ("YCbCr", "TIFF"),
    ],
)
def test_every_colour_mode_becomes_rgb(mode, form):
    flat = Image.new("RGB", (8, 8), (250, 250, 250) if mode == "1" else (200, 200, 200))
    decoded = decode_image(written(flat.convert(mode), form), "photo")
    assert decoded.mode == "RGB"
    assert np.abs(np.asarray(decoded).astype(int) - np.asarray(flat.convert(mode).convert("RGB"))).max() <= 6


def test_the_first_frame_of_an_animation_is_used():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    for form in ("GIF", "WEBP", "PNG", "TIFF"):
        how = {"lossless": True} if form == "WEBP" else {}
        content = written(frames[0], form, save_all=True, append_images=frames[1:], **how)
        red, _, blue = decode_image(content, "photo").getpixel((4, 4))
        assert red > 250 and blue < 5


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "it is empty"),
        (b"<svg/>", "it begins with b'<svg/>'"),
        (b"GIF89a", "GIF whose header cannot be read"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC, which is not read"),
        (written(Image.new("RGB", (8, 8)), "AVIF"), "AVIF, which is not read"),
        (written(Image.new("RGB", (8, 8)), "PPM"), "PPM, which is not read"),
        (written(Image.new("F", (8, 8)), "TIFF"), "TIFF of 32 bits per pixel"),
        (encode_jpeg(PIXELS)[:-300], "JPEG: image file is truncated"),
        (written(Image.fromarray(PIXELS), "WEBP")[:-30], "WEBP"),
        (written(Image.new("1", (20_000, 20_000)), "TIFF", compression="group4"), "TIFF of 20000x20000 pixels is too"),
    ],
)
def test_a_refusal_names_the_format_and_the_member_and_no_address(content, problem):
    sample = Sample("shard.tar", "key", {"webp": content})
    for decode in (decode_image, checked_image, decode_target):
        with pytest.raises(SgtError) as refusal:
            decode(sample.image, sample.image_name)
        line = str(refusal.value)
        assert line.startswith("shard.tar: key.webp: ") and problem in line
        assert "\n" not in line and " at 0x" not in line


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("form", [*WRITERS, "GIF", "BMP"])
def test_damage_of_any_kind_ends_in_an_image_or_in_one_line(form):
    rng = np.random.default_rng(0)
    content = tagged(6, form) if form in WRITERS else written(Image.fromarray(PIXELS), form)
    refused = 0
    for _ in range(150):
        damaged = bytearray(content)
        for place in rng.integers(0, min(len(damaged), 200), 3):
            damaged[place] = rng.integers(256)
        for decode in (decode_image, checked_image):
            try:
                decode(bytes(damaged), "photo")
            except SgtError as error:
                refused += 1
                assert "\n" not in str(error) and " at 0x" not in str(error)
    assert refused > 5


def test_a_sample_has_one_image_with_any_image_suffix():
    for suffix in ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"):
        sample = Sample("shard.tar", "key", {suffix: b"picture", "depth.png": b"", "json": b"{}"})
        assert (sample.has_image, sample.image, sample.image_name) == (True, b"picture", f"shard.tar: key.{suffix}")
    assert not Sample("shard.tar", "key", {"json": b"", "depth.png": b""}).has_image
    for files, problem in (({"json": b""}, "no image"), ({"jpg": b"", "webp": b""}, "2 images")):
        with pytest.raises(SgtError, match=f"shard.tar: key: {problem}"):
            _ = Sample("shard.tar", "key", files).image
