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


class DepthAnything:
    """An estimator of inverse depth, on the GPU if there is one.

    Args:
        folder: of the model, at the size that its name tells.

    Raises:
        SgtError: the folder holds no such model.
    """

    def __init__(self, folder: Path | str) -> None:
        folder = Path(folder)
        try:
            settings = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
            self._side = settings["size"]["height"], settings["size"]["width"]
            self._multiple = settings["ensure_multiple_of"]
            self._mean, self._std = (np.array(settings[name], np.float32) for name in ("image_mean", "image_std"))
            self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
            model = DepthAnythingForDepthEstimation.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SgtError(folder, f"no Depth Anything model ({error})", "fetch it (sgt fetch)") from None
        self._model = model.to(self._device).eval()

    @torch.inference_mode()
    def estimate(self, images: Sequence[Image.Image]) -> list[np.ndarray]:
        """Inverse depth up to scale, float32 (H, W) at least 0, of each image; those of one size go in together."""
        found: dict[int, np.ndarray] = {}
        prepared = [self._prepared(image) for image in images]
        for shape in sorted({pixels.shape for pixels in prepared}):
            places = [place for place, pixels in enumerate(prepared) if pixels.shape == shape]
            batch = torch.from_numpy(np.stack([prepared[place] for place in places])).to(self._device)
            inverse = self._model(pixel_values=batch).predicted_depth[:, None]
            for place, each in zip(places, inverse, strict=True):
                size = images[place].height, images[place].width
                each = F.interpolate(each[None], size, mode="bicubic", align_corners=False)
                found[place] = each[0, 0].clamp(min=0).cpu().numpy()
        return [found[place] for place in range(len(images))]

    def _prepared(self, image: Image.Image) -> np.ndarray:
        """Normalised pixels (3, h, w): scaled by whichever side changes less, both sides whole multiples of the
        patch."""
        wanted, size = self._side, (image.height, image.width)
        scale = min((wanted[axis] / size[axis] for axis in (0, 1)), key=lambda factor: abs(1 - factor))
        height, width = (max(1, round(side * scale / self._multiple)) * self._multiple for side in size)
        resized = image.resize((width, height), Image.Resampling.BICUBIC)
        pixels = (np.asarray(resized, np.float32) / 255 - self._mean) / self._std
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))
