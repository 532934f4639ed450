"""Depth Pro, from a folder in the layout of the hub."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from transformers import DepthProForDepthEstimation

from sgt.proxies.annotators.loading import load, normalised


class DepthPro:
    """Estimates inverse depth, on the GPU if there is one.

    Args:
        folder: of the fetched model.

    Raises:
        SgtError: the folder has no such model.
    """

    def __init__(self, folder: Path | str) -> None:
        self._model, self._settings = load(DepthProForDepthEstimation, Path(folder), "Depth Pro")
        self._size = self._settings["size"]["height"], self._settings["size"]["width"]

    @torch.inference_mode()
    def estimate(self, images: Sequence[Image.Image]) -> list[np.ndarray]:
        """Inverse depth of each image up to a factor, float32 (H, W), at least 0; the images are one batch.

        The model's field of view would only give that factor.
        """
        # Depth Pro's own processor normalises first, and resizes after that without smoothing.
        inputs = [normalised(image, image.size, self._settings)[None] for image in images]
        batch = torch.cat([F.interpolate(each, self._size, mode="bilinear", align_corners=False) for each in inputs])
        inverse = self._model(pixel_values=batch.to(self._model.device)).predicted_depth[:, None]
        estimates = []
        for image, each in zip(images, inverse, strict=True):
            whole = F.interpolate(each[None], (image.height, image.width), mode="bilinear", align_corners=False)
            estimates.append(whole[0, 0].clamp(min=0).cpu().numpy())
        return estimates
