"""Measures of a whole set of images, as segmentation and depth are usually reported: from sums over its images.

A measure such as panoptic quality is no mean of images: it is worked out once, of sums over all of them.
"""

from collections.abc import Mapping

import numpy as np

from sgt.proxies.fidelity import Measure, aligned, overlaps

# Segments with a larger overlap are matched; no other segment can then overlap either as much.
MATCHED = 0.5
PQ, SQ, RQ = Measure("PQ"), Measure("SQ"), Measure("RQ")
MEAN_IOU = Measure("mIoU")
DELTA = Measure("δ < 1.25")
DEPTH_ABS_REL = Measure("AbsRel of depth", higher_is_better=False, range=(0.0, None))
RMSE = Measure("RMSE", "m", higher_is_better=False, range=(0.0, None))
# Depth that is drawn behind the farthest true one is taken to be there.
_MILLIMETRES = 1000


def panoptic_sums(made: np.ndarray, target: np.ndarray) -> dict[str, float]:
    """Of one image: overlap of matched segments, how many are matched, and how many true and made ones there are.

    Args:
        made, target: int (H, W), 0 for the background, which is no segment.
    """
    of_pairs = overlaps(made, target)
    matched = of_pairs > MATCHED
    true, drawn = of_pairs.shape
    return {
        "overlap": float(of_pairs[matched].sum()),
        "matched": float(matched.sum()),
        "segments": float(true),
        "made segments": float(drawn),
    }


def panoptic_quality(sums: Mapping[str, float]) -> dict[Measure, float]:
    """Panoptic quality, and its factors segmentation and recognition quality (Kirillov et al. 2019, equation 1).

    All segments are of one class. The mean of true and made segments is TP + FP / 2 + FN / 2.
    """
    both = (sums["segments"] + sums["made segments"]) / 2
    if not both:
        return {PQ: np.nan, SQ: np.nan, RQ: np.nan}
    quality, recognised = sums["overlap"] / both, sums["matched"] / both
    return {PQ: quality, SQ: quality / recognised if recognised else 0.0, RQ: recognised}


def class_sums(made: np.ndarray, target: np.ndarray, classes: int) -> dict[str, float]:
    """Of one image and each class from 1: pixels that are of it in both maps, and in either.

    Pixels of no class in ``target`` do not count.

    Args:
        made, target: int (H, W), 0 for no class.
        classes: the largest label.
    """
    labelled = target != 0
    made, target = made[labelled], target[labelled]
    both = np.bincount(target[made == target], minlength=classes + 1)
    either = np.bincount(target, minlength=classes + 1) + np.bincount(made, minlength=classes + 1) - both
    return {
        f"{name} {label}": float(counts[label])
        for name, counts in (("both", both), ("either", either))
        for label in range(1, classes + 1)
    }


def mean_iou(sums: Mapping[str, float]) -> dict[Measure, float]:
    """Intersection over union of each class over all images, and the mean over the classes that either map has."""
    either = {name.split()[1]: value for name, value in sums.items() if name.startswith("either") and value > 0}
    found = [sums[f"both {label}"] / value for label, value in either.items()]
    return {MEAN_IOU: float(np.mean(found)) if found else np.nan}


def depth_sums(inverse: np.ndarray, depth: np.ndarray) -> dict[str, float]:
    """Errors of one image's depth after the alignment that models of relative depth are evaluated with.

    Scale and shift are those that bring the made inverse depth closest to the true one; its inverse, up to the farthest
    true depth, is compared with the true depth (Ranftl et al. 2020, section 5).

    Args:
        inverse: made inverse depth of any scale and shift, float (H, W).
        depth: true depth, uint16 (H, W), millimetres; 0 where it is not known.
    """
    known = depth > 0
    if not known.any():
        return {"images": 0.0, "within": 0.0, "relative error": 0.0, "squared error": 0.0}
    true = depth[known] / _MILLIMETRES
    made = 1 / np.maximum(aligned(inverse[known], 1 / true), 1 / true.max())
    return {
        "images": 1.0,
        "within": float((np.maximum(made / true, true / made) < 1.25).mean()),
        "relative error": float((np.abs(made - true) / true).mean()),
        "squared error": float(np.square(made - true).mean()),
    }


def depth_quality(sums: Mapping[str, float]) -> dict[Measure, float]:
    """Share of pixels within a quarter of their true depth, mean relative error and root mean squared error."""
    images = sums["images"]
    if not images:
        return {DELTA: np.nan, DEPTH_ABS_REL: np.nan, RMSE: np.nan}
    return {
        DELTA: sums["within"] / images,
        DEPTH_ABS_REL: sums["relative error"] / images,
        RMSE: float(np.sqrt(sums["squared error"] / images)),
    }
