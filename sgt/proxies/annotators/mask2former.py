"""Mask2Former: panoptic segments of an image."""

from math import ceil
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from transformers import Mask2FormerForUniversalSegmentation

from sgt.proxies.annotators.loading import load, normalised
from sgt.proxies.annotators.options import Mask2FormerOptions
from sgt.proxies.annotators.post_processing import panoptic
from sgt.proxies.masks import runs_of


class Mask2FormerSegments:
    """Segments images, on the GPU if there is one.

    Args:
        options: the folder of the fetched model, and the thresholds.

    Raises:
        SgtError: the folder has no such model.
    """

    def __init__(self, options: Mask2FormerOptions) -> None:
        self._options = options
        self._model, self._settings = load(Mask2FormerForUniversalSegmentation, Path(options.model), "Mask2Former")

    @torch.inference_mode()
    def masks(self, image: Image.Image) -> list[np.ndarray]:
        """Run lengths of each segment, as COCO's, in the order of the model's queries.

        Args:
            image: RGB.
        """
        pixels = normalised(image, self._size(image.size), self._settings)
        predicted = self._model(pixel_values=pixels[None].to(self._model.device))
        # Of photographs larger than this only the result is enlarged: a mask of each of 200 queries would not fit.
        size = pixels.shape[-2:]
        masks = F.interpolate(predicted.masks_queries_logits, size, mode="bilinear", align_corners=False)[0]
        options, found = self._options, []
        classes = predicted.class_queries_logits[0]
        for segment in panoptic(classes, masks, options.score, options.visible, options.things):
            mask = Image.fromarray(segment.cpu().numpy().astype(np.uint8))
            found.append(runs_of(np.asarray(mask.resize(image.size, Image.Resampling.NEAREST)) > 0))
        return found

    def _size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(width, height) that the model gets: the shortest side as in its settings unless the longest would exceed its
        limit, both rounded up to multiples of the divisor."""
        settings = self._settings
        wanted, divisor = settings["size"], settings.get("size_divisor", 32)
        if "height" in wanted:
            resized = wanted["width"], wanted["height"]
        else:
            factor = min(wanted["shortest_edge"] / min(size), wanted["longest_edge"] / max(size))
            resized = max(1, round(size[0] * factor)), max(1, round(size[1] * factor))
        width, height = (ceil(side / divisor) * divisor if divisor else side for side in resized)
        return width, height
