"""Images in a page that is complete in itself."""

import base64
import io

from PIL import Image

# The longest side of an image, pixels.
SIDE = 160


def small(image: Image.Image) -> str:
    """An address with the image itself: as it is if it is small, else reduced and compressed."""
    image, buffer = image.convert("RGB"), io.BytesIO()
    if max(image.size) <= SIDE:
        image.save(buffer, "PNG", optimize=True)
        kind = "png"
    else:
        image.thumbnail((SIDE, SIDE))
        image.save(buffer, "JPEG", quality=80)
        kind = "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
