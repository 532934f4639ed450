"""Depth Anything V2, from a folder in the layout of the hub (``config.json``, ``preprocessor_config.json``,
safetensors)."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from transformers import DepthAnythingForDepthEstimation

from sgt.errors import SgtError
from sgt.pretrained import load_pretrained, no_model

NAME = "Depth Anything model"


class DepthAnything:
    """Estimates inverse depth, on the GPU if there is one.

    Args:
        folder: of the fetched model.

    Raises:
        SgtError: the folder has no such model, a weight is missing, or it estimates depth instead of inverse depth.
    """

    def __init__(self, folder: Path | str) -> None:
        folder = Path(folder)
        try:
            settings = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
            self._side = settings["size"]["height"], settings["size"]["width"]
            self._multiple = settings["ensure_multiple_of"]
            self._mean, self._std = (np.array(settings[name], np.float32) for name in ("image_mean", "image_std"))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise no_model(folder, NAME, error) from None
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model = load_pretrained(DepthAnythingForDepthEstimation, folder, self._device, NAME)
        if (kind := self._model.config.depth_estimation_type) != "relative":
            problem = f"estimates {kind} depth, in which near is small, and not inverse depth"
            raise SgtError(folder, problem, "use a model of relative depth, such as depth-anything-v2-large")

    @torch.inference_mode()
    def estimate(self, images: Sequence[Image.Image]) -> list[np.ndarray]:
        """Inverse depth up to scale of each image, float32 (H, W), at least 0; images of one size are one batch."""
        estimates: dict[int, np.ndarray] = {}
        inputs = [self._preprocess(image) for image in images]
        for shape in sorted({pixels.shape for pixels in inputs}):
            indices = [index for index, pixels in enumerate(inputs) if pixels.shape == shape]
            batch = torch.from_numpy(np.stack([inputs[index] for index in indices])).to(self._device)
            inverse = self._model(pixel_values=batch).predicted_depth[:, None]
            for index, each in zip(indices, inverse, strict=True):
                size = images[index].height, images[index].width
                each = F.interpolate(each[None], size, mode="bicubic", align_corners=False)
                estimates[index] = each[0, 0].clamp(min=0).cpu().numpy()
        return [estimates[index] for index in range(len(images))]

    def _preprocess(self, image: Image.Image) -> np.ndarray:
        """Normalised pixels, float32 (3, h, w): resized by the factor of the side that changes less, both sides rounded
        to multiples of the patch size."""
        target, size = self._side, (image.height, image.width)
        scale = min((target[axis] / size[axis] for axis in (0, 1)), key=lambda factor: abs(1 - factor))
        height, width = (max(1, round(side * scale / self._multiple)) * self._multiple for side in size)
        resized = image.resize((width, height), Image.Resampling.BICUBIC)
        pixels = (np.asarray(resized, np.float32) / 255 - self._mean) / self._std
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))
