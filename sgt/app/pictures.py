"""Pictures that a person gives: a file, its bytes, or an image of Pillow."""

from os import PathLike
from pathlib import Path

from PIL import Image, ImageOps

from sgt.data.images import decode_image, encode_png
from sgt.errors import SgtError

Picture = Image.Image | str | PathLike[str] | bytes


def read_picture(picture: Picture, where: object = "picture") -> Image.Image:
    """An upright RGB image, decoded as those of shards are.

    Args:
        picture: a path, the bytes of a file, or an image.
        where: name of bytes or of an image in errors.

    Raises:
        SgtError: there is no such file, or it is not an image, damaged or too large.
    """
    match picture:
        case Image.Image():
            data = encode_png(ImageOps.exif_transpose(picture))
        case bytes():
            data = picture
        case _:
            where, data = picture, _read(Path(picture))
    try:
        return decode_image(data, where)
    except SgtError as error:
        raise SgtError(error.where, error.problem, "give a JPEG, PNG, WebP, GIF, BMP or TIFF file") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise SgtError(path, "no such picture", "check the name") from None
    except IsADirectoryError:
        raise SgtError(path, "a folder, not a picture", "name a file in it") from None
