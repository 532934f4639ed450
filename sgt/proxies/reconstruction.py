"""Reconstruction: the image again (low level)."""

from PIL import Image

from sgt.data.shards import Sample
from sgt.proxies.base import Proxy


class Reconstruction(Proxy):
    """The target is the image itself, seen through the semantic encoder alone."""

    name = "reconstruction"
    level = "low"
    prompts = (
        "draw the same picture again",
        "copy this picture",
        "make the picture once more",
        "show exactly what you see",
        "repeat the image",
        "paint this scene as it is",
    )

    def render(self, image: Image.Image, sample: Sample) -> Image.Image:
        """The image."""
        return image
