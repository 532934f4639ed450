"""From what segmentation models predict to masks: filters, duplicates, and who owns a pixel."""

import torch
from torch import Tensor

# How far the two thresholds of a mask's stability are from the mask's own, which is 0, in logits.
STABILITY_OFFSET = 1.0


def stability(logits: Tensor) -> Tensor:
    """How little masks depend on their threshold: IoU of each at a threshold above and at one below its own.

    Args:
        logits: (N, H, W).

    Returns:
        float (N,), from 0 to 1; 0 for a mask that is empty at both.
    """
    inner, outer = ((logits > offset).flatten(1).sum(1) for offset in (STABILITY_OFFSET, -STABILITY_OFFSET))
    return inner / outer.clamp(min=1)


def without_duplicates(masks: Tensor, scores: Tensor, most: float) -> list[int]:
    """Non-maximum suppression by the IoU of masks, not of their boxes, which overlap where the masks do not.

    Args:
        masks: bool (N, H, W).
        scores: (N,).
        most: IoU above which only the mask with the higher score is kept of two; of equal scores, the first.

    Returns:
        Indices of the masks that are kept, by descending score.
    """
    flat = masks.flatten(1)
    areas = flat.sum(1)
    order = torch.argsort(scores, descending=True, stable=True)
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(int(best))
        common = (flat[order] & flat[best]).sum(1)
        iou = common / (areas[order] + areas[best] - common).clamp(min=1)
        order = order[iou <= most]
    return kept


def panoptic(classes: Tensor, masks: Tensor, least_score: float, least_visible: float, things: int) -> list[Tensor]:
    """Segments that do not overlap, from queries that each predict a class and a mask, as Mask2Former's authors do it.

    A query whose class is certain enough owns the pixels where its mask, weighted with that certainty, is the
    strongest. If these are enough of its mask, those in its mask become a segment.

    Args:
        classes: logits (Q, classes + 1) of each query; the last one is "no object".
        masks: logits (Q, H, W).
        least_score: probability that the class must have.
        least_visible: area that a query must own, as a share of its mask.
        things: classes, from the first, each of whose segments stays apart; those of another class, stuff, are one.

    Returns:
        bool (H, W) of each segment, in the order of the queries.
    """
    scores, labels = classes.softmax(-1).max(-1)
    kept = (labels != classes.shape[-1] - 1) & (scores > least_score)
    if not kept.any():
        return []
    probabilities, scores, labels = masks[kept].sigmoid(), scores[kept], labels[kept]
    owner = (probabilities * scores[:, None, None]).argmax(0)
    segments: dict[tuple[int, int], Tensor] = {}
    for query, (label, mask) in enumerate(zip(labels.tolist(), probabilities >= 0.5, strict=True)):
        owned = owner == query
        visible = owned & mask
        if visible.any() and owned.sum() >= least_visible * mask.sum():
            name = (label, query) if label < things else (label, -1)
            segments[name] = segments[name] | visible if name in segments else visible
    return list(segments.values())
