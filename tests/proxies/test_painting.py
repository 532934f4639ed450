"""Painting many masks at once, beside painting them one by one."""

import numpy as np
import pytest

from sgt.proxies.labels import Labels, left_to_right, neighbours
from sgt.proxies.painting import paint


def runs_of(mask: np.ndarray) -> np.ndarray:
    flat = mask.ravel("F")
    edges = np.concatenate(([0], np.flatnonzero(np.diff(flat)) + 1, [flat.size]))
    runs = np.diff(edges)
    return np.concatenate(([0], runs)) if flat[0] else runs


@pytest.mark.parametrize("count", [0, 1, 51, 52, 53, 104, 255, 256, 417, 900])
@pytest.mark.parametrize("largest_last", [False, True])
def test_masks_are_painted_as_one_by_one(count, largest_last):
    rng = np.random.default_rng(count)
    height, width = 23, 31
    masks = []
    for _ in range(count):
        mask = np.zeros((height, width), bool)
        top, left = rng.integers(0, height), rng.integers(0, width)
        mask[top : top + rng.integers(0, 12), left : left + rng.integers(0, 12)] = True
        masks.append(mask & (rng.random((height, width)) < 0.8))
    order = sorted(range(count), key=lambda number: masks[number].sum() * (1 if largest_last else -1))
    wanted = np.zeros((height, width), int)
    for number in order:
        wanted[masks[number]] = number + 1
    labels = paint([runs_of(mask) for mask in masks], range(count), height, width, largest_last)
    assert (wanted == labels.columns.T).all()
    assert labels.columns.dtype == (np.uint8 if count < 256 else np.uint16)


def test_neighbours_and_order_are_those_of_the_pixels():
    rng = np.random.default_rng(0)
    for height, width in ((1, 1), (1, 9), (9, 1), (7, 5), (12, 16)):
        labels = rng.integers(0, 6, (width, height)).astype(np.uint8)
        touching: dict[int, set[int]] = {}
        for x, y in np.ndindex(width, height):
            for dx, dy in np.ndindex(3, 3):
                u, v = x + dx - 1, y + dy - 1
                one, other = int(labels[x, y]), int(labels[u, v]) if 0 <= u < width and 0 <= v < height else 0
                if one != other and one and other:
                    touching.setdefault(one, set()).add(other)
        runs = Labels.of_columns(labels, ())
        assert (runs.columns == labels).all()
        assert neighbours(runs) == touching
        centres = {
            label: tuple(np.argwhere(labels == label).mean(0)) for label in np.unique(labels[labels > 0]).tolist()
        }
        assert left_to_right(runs) == sorted(centres, key=lambda label: (*centres[label], label))
