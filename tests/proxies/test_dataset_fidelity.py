"""Measures of a whole set of images, worked out by hand."""

import numpy as np
import pytest

from sgt.proxies.dataset_fidelity import (
    DELTA,
    DEPTH_ABS_REL,
    MEAN_IOU,
    PQ,
    RMSE,
    RQ,
    SQ,
    class_sums,
    depth_quality,
    depth_sums,
    mean_iou,
    panoptic_quality,
    panoptic_sums,
)

TRUE = np.array([[1, 1, 1, 1, 2, 2, 0, 0]])


def added(*sums: dict[str, float]) -> dict[str, float]:
    return {name: sum(each[name] for each in sums) for name in sums[0]}


def test_panoptic_quality_is_of_all_images_together():
    # Of the first image one segment is matched with an overlap of 3/4, one is missed, and one is made up.
    first = panoptic_sums(np.array([[5, 5, 5, 0, 0, 0, 6, 6]]), TRUE)
    assert first == {"overlap": 0.75, "matched": 1, "segments": 2, "made segments": 2}
    second = panoptic_sums(TRUE, TRUE)
    found = panoptic_quality(added(first, second))
    assert found == pytest.approx({PQ: 2.75 / 4, SQ: 2.75 / 3, RQ: 3 / 4})
    assert found[PQ] == pytest.approx(found[SQ] * found[RQ])


def test_half_an_overlap_is_no_match_and_no_segment_has_no_quality():
    half = panoptic_sums(np.array([[1, 1, 0, 0, 0, 0, 0, 0]]), TRUE)
    assert half["matched"] == 0 and panoptic_quality(half) == {PQ: 0, SQ: 0, RQ: 0}
    nothing = np.zeros((2, 2), int)
    assert all(np.isnan(value) for value in panoptic_quality(panoptic_sums(nothing, nothing)).values())


def test_mean_iou_is_of_classes_over_all_images_and_unlabelled_pixels_do_not_count():
    first = class_sums(np.array([[1, 1, 2, 2, 2, 2, 1, 2]]), TRUE, 3)
    second = class_sums(np.array([[3, 3]]), np.array([[1, 3]]), 3)
    # Class 1: 2 of 4 + 1; class 2: 2 of 4; class 3: 1 of 2.
    assert mean_iou(added(first, second)) == pytest.approx({MEAN_IOU: (2 / 5 + 2 / 4 + 1 / 2) / 3})
    assert np.isnan(mean_iou(class_sums(TRUE, np.zeros_like(TRUE), 3))[MEAN_IOU])


def test_depth_of_another_scale_and_shift_is_without_error():
    depth = np.array([[1000, 2000, 4000, 0]], np.uint16)
    inverse = np.array([[1.0, 0.5, 0.25, 9.0]])
    found = depth_quality(depth_sums(0.3 * inverse + 0.1, depth))
    assert found == pytest.approx({DELTA: 1, DEPTH_ABS_REL: 0, RMSE: 0}, abs=1e-9)


def test_depth_errors_by_hand():
    depth = np.array([[1000, 2000]], np.uint16)
    # The best constant inverse depth is 0.75: 4/3 m everywhere.
    found = depth_quality(depth_sums(np.ones((1, 2)), depth))
    errors = np.array([1 / 3, 2 / 3])
    assert found == pytest.approx({DELTA: 0, DEPTH_ABS_REL: (1 / 3 + 1 / 3) / 2, RMSE: np.sqrt((errors**2).mean())})
    assert all(np.isnan(value) for value in depth_quality(depth_sums(np.ones((1, 2)), 0 * depth)).values())
