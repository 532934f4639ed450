"""The annotator of what a study chose, loaded when it is needed: torch is, too."""

from typing import Protocol

import numpy as np
from PIL import Image

from sgt.proxies.annotators.options import Mask2FormerOptions, Sam2Options


class Annotator(Protocol):
    """A model that segments images."""

    def masks(self, image: Image.Image) -> list[np.ndarray]:
        """Run lengths of each mask of an RGB image, as COCO's."""


def make_annotator(options: Sam2Options | Mask2FormerOptions) -> Annotator:
    """Load an annotator.

    Raises:
        SgtError: its folder has no such model.
    """
    if isinstance(options, Sam2Options):
        from sgt.proxies.annotators.sam2 import Sam2Masks

        return Sam2Masks(options)
    from sgt.proxies.annotators.mask2former import Mask2FormerSegments

    return Mask2FormerSegments(options)
