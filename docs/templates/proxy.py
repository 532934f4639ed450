"""Contrast: the image with its contrast stretched (low level)."""

from typing import Literal

from PIL import Image, ImageOps
from pydantic import Field

from sgt.config.proxies import ProxyOptions
from sgt.data.shards import Sample
from sgt.proxies.base import Proxy


class Contrast(Proxy):
    """Each channel is scaled linearly so that its darkest pixels become 0 and its brightest 255."""

    class Options(ProxyOptions):
        """What a study can set. Without options of its own, a task has ``task`` alone."""

        task: Literal["contrast"]
        cutoff: float = Field(1.0, ge=0, lt=50, description="percentage of pixels that is cut off at both ends")

    # For type checkers: the options in use are of this class.
    options: Options
    # The task's name in a study, as in ``Options.task``.
    name = "contrast"
    # high (semantic), mid (geometric) or low (pixels).
    level = "low"
    # Instructions, one of which is drawn at random per training sample.
    prompts = (
        "stretch the contrast",
        "make dark parts darker and bright parts brighter",
        "use the whole range of brightness",
        "make the flat picture vivid",
        "draw the picture with more contrast",
        "increase the contrast",
    )

    # How like its target a drawn image is, is measured by PSNR and SSIM unless the class overrides ``fidelity``.

    def render(self, image: Image.Image, sample: Sample) -> Image.Image:
        """An RGB image."""
        return ImageOps.autocontrast(image, self.options.cutoff)
