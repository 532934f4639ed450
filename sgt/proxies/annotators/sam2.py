"""SAM 2 (Segment Anything): masks of everything in an image, from a grid of points."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from transformers import Sam2Model

from sgt.proxies.annotators.loading import load, normalised
from sgt.proxies.annotators.options import Sam2Options
from sgt.proxies.annotators.post_processing import stability, without_duplicates
from sgt.proxies.masks import runs_of


class Sam2Masks:
    """Segments images, on the GPU if there is one.

    The defaults are those of SAM 2's own mask generator. Duplicates are found by the IoU of masks, at the resolution
    of the decoder.

    Args:
        options: the folder of the fetched model, and the thresholds.

    Raises:
        SgtError: the folder has no such model.
    """

    def __init__(self, options: Sam2Options) -> None:
        self._options = options
        self._model, self._settings = load(Sam2Model, Path(options.model), "SAM 2")
        self._size = self._settings["size"]["width"], self._settings["size"]["height"]

    @torch.inference_mode()
    def masks(self, image: Image.Image) -> list[np.ndarray]:
        """Run lengths of each mask, as COCO's, of the mask with the highest predicted IoU first.

        Args:
            image: RGB.
        """
        logits, scores = self._candidates(normalised(image, self._size, self._settings))
        kept = without_duplicates(logits > 0, scores, self._options.duplicates)
        found = []
        for index in kept:
            whole = F.interpolate(logits[None, None, index], image.size[::-1], mode="bilinear", align_corners=False)
            found.append(runs_of((whole[0, 0] > 0).cpu().numpy()))
        return found

    def _candidates(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, h, w) of the masks that pass both thresholds, and the IoU (N,) that is predicted of each."""
        options, masks, scores = self._options, [], []
        embeddings = self._model.get_image_embeddings(pixels[None].to(self._model.device))
        for points in self._grid().split(options.points_per_batch):
            decoded = self._model(image_embeddings=embeddings, input_points=points[None, :, None])
            logits, iou = decoded.pred_masks[0].flatten(0, 1), decoded.iou_scores[0].flatten()
            kept = (iou > options.predicted_iou) & (stability(logits) > options.stability)
            masks.append(logits[kept])
            scores.append(iou[kept])
        return torch.cat(masks), torch.cat(scores)

    def _grid(self) -> Tensor:
        """Points (N, 2), x and y in the pixels of the resized image, row by row."""
        count = self._options.points_per_side
        steps = (torch.arange(count, device=self._model.device) + 0.5) / count
        y, x = torch.meshgrid(steps * self._size[1], steps * self._size[0], indexing="ij")
        return torch.stack([x.flatten(), y.flatten()], dim=1)
