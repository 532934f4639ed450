"""Measures of how like its true target an image is that a model made; what proxies use in ``Proxy.fidelity``.

A measure that an image does not have, such as the overlap with objects where there are none, is NaN; the image is left
out of the mean. Slow libraries are imported where they are used, since every command of sgt loads the proxies.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

# Mean squared error of values that were rounded to 8 bits: images that differ by less are equal.
ROUNDING = 1 / 12
# Connected regions of a smaller share of the image are no objects but seams.
SMALLEST_REGION = 0.001
# Distance, as a share of the image's diagonal, within which an edge is in the right place (BSDS500's).
EDGE_TOLERANCE = 0.0075


@dataclass(frozen=True)
class Measure:
    """What a measure's numbers mean.

    Attributes:
        name: in tables.
        unit: ``""`` if it has none.
        higher_is_better: whether a larger number is a closer image.
        range: the lowest and the highest possible number; None where there is no bound.
    """

    name: str
    unit: str = ""
    higher_is_better: bool = True
    range: tuple[float | None, float | None] = (0.0, 1.0)


PSNR = Measure("PSNR", "dB", range=(0.0, None))
SSIM = Measure("SSIM", range=(-1.0, 1.0))


def psnr(made: np.ndarray, target: np.ndarray) -> float:
    """Peak signal-to-noise ratio of uint8 values, dB; NaN of none. Equal ones have 58.9 dB, by :data:`ROUNDING`."""
    if not made.size:
        return float("nan")
    error = np.square(made.astype(np.float64) - target).mean()
    return float(10 * np.log10(255**2 / max(error, ROUNDING)))


def ssim(made: np.ndarray, target: np.ndarray) -> float:
    """Structural similarity of uint8 (H, W, 3), windows of 7 × 7 pixels."""
    from skimage.metrics import structural_similarity

    return float(structural_similarity(made, target, channel_axis=2, data_range=255))


def nearest_colours(image: Image.Image, colours: np.ndarray) -> np.ndarray:
    """Of each pixel the index of the nearest of some RGB colours (n, 3), int64 (H, W)."""
    from scipy.spatial import KDTree

    pixels = np.asarray(image.convert("RGB"), np.float64)
    return KDTree(np.asarray(colours, np.float64)).query(pixels.reshape(-1, 3))[1].reshape(pixels.shape[:2])


def regions(labels: np.ndarray) -> np.ndarray:
    """Connected regions of one label, which may touch at corners: int64 (H, W), from 1; 0 for the background.

    Args:
        labels: int (H, W), 0 for the background. Regions below :data:`SMALLEST_REGION` become background.
    """
    from skimage.measure import label

    found = label(labels, background=0, connectivity=2)
    sizes = np.bincount(found.ravel())
    kept = sizes >= SMALLEST_REGION * labels.size
    kept[0] = False
    number = np.zeros(len(sizes), np.int64)
    number[kept] = np.arange(1, kept.sum() + 1)
    return number[found]


def matched_iou(made: np.ndarray, target: np.ndarray) -> float:
    """Mean intersection over union of the segments of two label maps, whatever the labels are called.

    Each true segment is matched with at most one made segment, so that the sum is as large as possible (the Hungarian
    method); without a partner it counts as 0.

    Args:
        made, target: int (H, W), 0 for the background, which is no segment.

    Returns:
        The mean over the true segments; NaN if there are none.
    """
    from scipy.optimize import linear_sum_assignment

    of_pairs = overlaps(made, target)
    if not of_pairs.shape[0]:
        return float("nan")
    rows, columns = linear_sum_assignment(of_pairs, maximize=True)
    return float(of_pairs[rows, columns].sum() / len(of_pairs))


def class_iou(made: np.ndarray, target: np.ndarray) -> float:
    """Mean intersection over union of the classes in ``target``, each with the same class in ``made``.

    Args:
        made, target: int (H, W), 0 for no class.

    Returns:
        The mean over the classes that ``target`` has; NaN if there are none.
    """
    classes = [name for name in np.unique(target) if name]
    if not classes:
        return float("nan")
    pairs = [(made == name, target == name) for name in classes]
    return float(np.mean([(one & other).sum() / (one | other).sum() for one, other in pairs]))


def correlation(made: np.ndarray, target: np.ndarray) -> float:
    """Pearson's correlation of two sets of values; 0 if the made ones are all equal, NaN if the true ones are."""
    made, target = made - made.mean(), target - target.mean()
    if not np.any(target):
        return float("nan")
    norm = np.sqrt((made**2).sum() * (target**2).sum())
    return float((made * target).sum() / norm) if norm else 0.0


def aligned(made: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Made values with the scale and shift that bring them closest to the true ones (least squares)."""
    centred = made - made.mean()
    square = (centred**2).sum()
    scale = (centred * (target - target.mean())).sum() / square if square else 0.0
    return scale * centred + target.mean()


def edge_f1(made: np.ndarray, target: np.ndarray) -> float:
    """F1 score of edge pixels, of which one is right if an edge of the other image lies within the tolerance.

    The tolerance is :data:`EDGE_TOLERANCE` of the diagonal, but at least one pixel.

    Args:
        made, target: bool (H, W).

    Returns:
        The harmonic mean of the share of made edges that are right and of true edges that are found; NaN if there are
        no true edges.
    """
    from scipy import ndimage  # imported where it is used: every command of sgt loads the proxies

    if not target.any():
        return float("nan")
    if not made.any():
        return 0.0
    tolerance = max(EDGE_TOLERANCE * np.hypot(*target.shape), 1.0)
    near_made, near_target = (ndimage.distance_transform_edt(~edges) <= tolerance for edges in (made, target))
    precision, recall = near_target[made].mean(), near_made[target].mean()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def overlaps(made: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Intersection over union of every true with every made segment: float64 (true segments, made segments).

    Args:
        made, target: int (H, W), 0 for the background, which is no segment.
    """
    sizes = [np.unique(labels, return_inverse=True, return_counts=True) for labels in (target, made)]
    (true, true_at, true_size), (other, other_at, other_size) = sizes
    both = np.zeros((len(true), len(other)))
    np.add.at(both, (true_at.ravel(), other_at.ravel()), 1)
    union = true_size[:, None] + other_size[None] - both
    return (both / union)[true != 0][:, other != 0]
