"""Pictures that a visitor uploads: bounded before they are decoded, and not kept."""

from pathlib import Path

from PIL import Image

from sgt.app.pictures import read_picture
from sgt.data.images import read_header
from sgt.errors import SgtError

MAX_BYTES = 20 * 2**20
MAX_PIXELS = 40_000_000
SMALLER = "upload a smaller picture"


def read_upload(path: Path) -> Image.Image:
    """An uploaded picture as upright RGB; its file is deleted, whatever it is.

    Raises:
        SgtError: it is not a picture, or it has more bytes or pixels than an upload may have.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise SgtError("upload", f"{size / 2**20:.0f} MB, at most {MAX_BYTES // 2**20} are taken", SMALLER)
        data = path.read_bytes()
    finally:
        path.unlink(missing_ok=True)
    try:
        width, height = read_header(data, "upload").size
    except SgtError:
        # Which says what a picture must be.
        return read_picture(data, "upload")
    if width * height > MAX_PIXELS:
        problem = f"{width * height / 1e6:.0f} megapixels, at most {MAX_PIXELS // 10**6} are taken"
        raise SgtError("upload", problem, SMALLER)
    return read_picture(data, "upload")
