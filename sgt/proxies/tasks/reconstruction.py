"""Reconstruction: the image again (low level)."""

from typing import Literal

from sgt.config.proxies import ProxyOptions
from sgt.proxies.base import CleanImage


class Reconstruction(CleanImage):
    """The target is the image itself; the model gets it through its semantic encoder only."""

    class Options(ProxyOptions):
        """No options."""

        task: Literal["reconstruction"]

    name = "reconstruction"
    sheet_order = 4
    prompts = (
        "draw the same picture again",
        "copy this picture",
        "make the picture once more",
        "show exactly what you see",
        "repeat the image",
        "paint this scene as it is",
    )
