"""Drawn boundaries against those that several people drew, as BSDS500 is evaluated (Arbeláez et al. 2011, section 3).

At a threshold the drawn map becomes lines one pixel wide. They are matched with each person's lines, one pixel with at
most one other within a tolerance. Recall counts the people's pixels that are matched; precision the drawn ones that are
matched with at least one person's. The published code finds the matching of least total distance, with a fixed cost for
pixels without a partner; here it is one with most pairs, so counts may differ by a few pixels of a thousand.
"""

from collections.abc import Mapping, Sequence

import numpy as np

# Share of the image's diagonal.
TOLERANCE = 0.0075
THRESHOLDS = 33


def boundary_counts(
    strength: np.ndarray, people: Sequence[np.ndarray], thresholds: int = THRESHOLDS
) -> dict[str, float]:
    """Of one image, at each threshold: drawn pixels, those that are right, and of all people's pixels those found.

    Args:
        strength: float (H, W) from 0 to 1, 1 for the surest boundary.
        people: bool (H, W), each one person's.
        thresholds: so many, evenly spaced between 0 and 1; pixels at a threshold or above are boundary.

    Returns:
        ``true``, the number of all people's pixels, and by number of the threshold from 1 ``drawn N``, ``right N`` and
        ``found N``.
    """
    from skimage.morphology import thin  # imported where it is used, since it takes long

    counts = {"true": float(sum(each.sum() for each in people))}
    for number in range(1, thresholds + 1):
        drawn = thin(strength >= number / (thresholds + 1))
        right, found = np.zeros(int(drawn.sum()), bool), 0
        for each in people:
            partners = matched(drawn, each)
            right[partners] = True
            found += len(partners)
        counts |= {
            f"drawn {number}": float(len(right)),
            f"right {number}": float(right.sum()),
            f"found {number}": float(found),
        }
    return counts


def matched(drawn: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Places among the drawn pixels, in the order of rows, of those with a partner in a matching with most pairs.

    Args:
        drawn, true: bool (H, W).
    """
    from scipy.sparse.csgraph import maximum_bipartite_matching
    from scipy.spatial import KDTree

    if not (drawn.any() and true.any()):
        return np.zeros(0, int)
    tolerance = TOLERANCE * float(np.hypot(*drawn.shape))
    # Distances of zero, of pixels at the same place, would be no entries of a sparse matrix: one is added to each.
    pairs = KDTree(np.argwhere(drawn)).sparse_distance_matrix(
        KDTree(np.argwhere(true)), tolerance, output_type="coo_matrix"
    )
    pairs.data += 1
    return np.nonzero(maximum_bipartite_matching(pairs.tocsr(), perm_type="column") >= 0)[0]


def f1(drawn: float, right: float, true: float, found: float) -> float:
    """Harmonic mean of precision and recall; 0 if nothing is right."""
    if not (right and found):
        return 0.0
    precision, recall = right / drawn, found / true
    return 2 * precision * recall / (precision + recall)


def f1_at(counts: Mapping[str, float], number: int) -> float:
    """F1 at a threshold, of one image's counts or of sums over images."""
    return f1(counts[f"drawn {number}"], counts[f"right {number}"], counts["true"], counts[f"found {number}"])


def best_threshold(counts: Mapping[str, float], thresholds: int = THRESHOLDS) -> int:
    """Number of the threshold with the highest F1; of equal ones the lowest."""
    return max(range(1, thresholds + 1), key=lambda number: f1_at(counts, number))
