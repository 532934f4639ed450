"""From the logits of a Mask2Former to detected objects, as mmdet's instance post-processing does.

The post-processor of transformers is not used: it scales masks to 384 × 384, merges them into one map in which later
ones overwrite earlier ones, and keeps what scores at least 0.5.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor

# Pairs of query and class that are kept per image.
MAX_PAIRS = 100


@dataclass(frozen=True)
class Detection:
    """One object.

    Attributes:
        name: of its class.
        score: probability of the class times the mean probability of the pixels of the mask.
        box: (left, top, right, bottom) of the mask in pixels; right and bottom are exclusive.
        mask: bool (H, W) of the image.
    """

    name: str
    score: float
    box: tuple[int, int, int, int]
    mask: np.ndarray

    def record(self) -> dict[str, Any]:
        """Everything but the mask, as JSON."""
        return {"class": self.name, "score": self.score, "box": list(self.box)}


def instances(
    class_logits: Tensor,
    mask_logits: Tensor,
    names: Sequence[str],
    padded: tuple[int, int],
    resized: tuple[int, int],
    original: tuple[int, int],
    above: float = 0.0,
) -> list[Detection]:
    """The objects in an image that score more than ``above``, best first.

    Args:
        class_logits: (queries, classes + 1); the last class is "no object".
        mask_logits: (queries, h, w), of the padded image.
        names: of the classes, by their index.
        padded: (height, width) of the network's input.
        resized: (height, width) of the image in it, without the padding below and on the right.
        original: (height, width) of the image as it was given.
        above: no mask is scaled of a pair of query and class that cannot score more.
    """
    probabilities = class_logits.float().softmax(dim=-1)[:, :-1]
    classes = probabilities.shape[1]
    best = probabilities.flatten().topk(min(MAX_PAIRS, probabilities.numel()))
    # A mean of pixels' probabilities is at most 1, so the score is at most the probability of the class.
    pairs = [(i, p) for i, p in zip(best.indices.tolist(), best.values.tolist(), strict=True) if p > above]
    queries = sorted({index // classes for index, _ in pairs})
    masks: dict[int, tuple[np.ndarray, float]] = {}
    for query in queries:
        logits = _scaled(mask_logits[query].float(), padded)[: resized[0], : resized[1]]
        logits = _scaled(logits, original)
        inside = logits > 0
        quality = float((logits.sigmoid() * inside).sum() / (inside.sum() + 1e-6))
        masks[query] = inside.cpu().numpy(), quality
    found = []
    for index, probability in pairs:
        query, label = divmod(index, classes)
        mask, share = masks[query]
        if (score := probability * share) > above:
            found.append(Detection(names[label], score, box_of(mask), mask))
    return sorted(found, key=lambda each: -each.score)


def box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """The smallest box with all of a mask (H, W) that is not empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _scaled(plane: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(plane[None, None], size, mode="bilinear", align_corners=False)[0, 0]
