"""Targets of a picture that a person gives."""

from pathlib import Path
from typing import Any

from PIL import Image

from sgt.app.pictures import Picture, read_picture
from sgt.data.images import encode_png
from sgt.data.shards import Sample
from sgt.errors import SgtError
from sgt.proxies.base import Proxy
from sgt.proxies.render import proxy_from, proxy_named, target_of


def render_target(proxy: str, picture: Picture, **options: Any) -> Image.Image:
    """The target that a proxy asks for, of a picture without annotations.

    Args:
        proxy: its name, such as ``edge``.
        picture: the input.
        options: of the proxy, as under ``proxies`` in a study.

    Returns:
        RGB, of the picture's size.

    Raises:
        SgtError: there is no such proxy or option, the proxy needs annotations, or the picture cannot be read.
    """
    proxy_named(proxy)
    made = proxy_from({**options, "task": proxy})
    if made.needs:
        missing = ", ".join(f".{extension}" for extension in made.needs)
        remedy = "use another proxy, or options with which it estimates them"
        raise SgtError(proxy, f"its target is made from annotations ({missing}), not from the picture", remedy)
    return target_of_picture(made, read_picture(picture))


def target_of_picture(proxy: Proxy, picture: Image.Image) -> Image.Image:
    """The target, RGB, that a proxy without ``needs`` makes of an RGB picture."""
    sample = Sample(Path("picture"), proxy.name, {"png": encode_png(picture)})
    return target_of(proxy, sample).convert("RGB")
