"""Masks of any shape in any form, and anything else in a mask's place: read exactly, or refused in one line."""

import numpy as np
from hypothesis import assume, example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco

from sgt.errors import SgtError
from sgt.proxies.masks import mask_runs

MASKS = arrays.arrays(bool, arrays.array_shapes(min_dims=2, max_dims=2, max_side=24))
# Every character that may be in compressed RLE, and some of those beside them.
TEXTS = st.text(st.characters(min_codepoint=46, max_codepoint=114), max_size=24)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.sampled_from(["size", "counts", "x"]), inner),
    max_leaves=20,
)
HEIGHT, WIDTH = 5, 7
SIZE = [HEIGHT, WIDTH]


def compressed(mask: np.ndarray) -> str:
    return coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()


def plain(mask: np.ndarray) -> list[int]:
    """Run lengths, worked out pixel by pixel."""
    counts, value = [0], False
    for pixel in mask.ravel("F").tolist():
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return counts


def read(segmentation: object, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """The mask that an annotation's runs describe, bool (height, width)."""
    (runs,) = mask_runs([{"id": 1, "segmentation": segmentation}], height, width, "key.json")
    assert runs.dtype == np.int64 and runs.min() >= 0 and runs.sum() == height * width
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T


def read_or_refused(segmentation: object) -> np.ndarray | None:
    """That mask, or None if it was refused in one line."""
    try:
        return read(segmentation)
    except SgtError as error:
        assert str(error).startswith("key.json: annotation 1: ") and len(str(error).splitlines()) == 1
        return None


@given(MASKS)
def test_either_form_of_rle_gives_the_mask_it_was_made_from(mask):
    for counts in (compressed(mask), plain(mask)):
        assert (read({"size": list(mask.shape), "counts": counts}, *mask.shape) == mask).all()


@given(st.lists(arrays.arrays(bool, (HEIGHT, WIDTH)), max_size=5), st.randoms(use_true_random=False))
def test_masks_read_together_are_those_read_alone(masks, random):
    segmentations = [{"size": SIZE, "counts": random.choice((compressed, plain))(mask)} for mask in masks]
    annotations = [{"id": number, "segmentation": each} for number, each in enumerate(segmentations)]
    together = mask_runs(annotations, HEIGHT, WIDTH, "key.json")
    assert [runs.tolist() for runs in together] == [plain(mask) for mask in masks]


def accepted_as_pycocotools_reads_it(text: str) -> None:
    mask = read_or_refused({"size": SIZE, "counts": text})
    if mask is not None:
        assert (mask == coco.decode({"size": SIZE, "counts": text.encode()})).all()


@given(TEXTS)
def test_any_text_as_rle_is_refused_or_read_as_pycocotools_reads_it(text):
    accepted_as_pycocotools_reads_it(text)


@given(arrays.arrays(bool, (HEIGHT, WIDTH)), st.data())
def test_damaged_rle_is_refused_or_read_as_pycocotools_reads_it(mask, data):
    text = compressed(mask)
    start, end = (data.draw(st.integers(0, len(text))) for _ in range(2))
    accepted_as_pycocotools_reads_it(text[:start] + data.draw(st.text("/0?@OPo", max_size=2)) + text[end:])


@given(st.lists(st.integers(-3, 2**33), max_size=9))
@example([2**31 - 1, 2**31 - 1, 1])
@example([HEIGHT * WIDTH])
def test_any_list_of_runs_is_refused_unless_it_covers_the_image(runs):
    covers = min(runs, default=0) >= 0 and sum(runs) == HEIGHT * WIDTH
    assert (read_or_refused({"size": SIZE, "counts": runs}) is not None) == covers


@given(*[st.tuples(*[st.integers(0, 30)] * 2).map(sorted)] * 2)
def test_a_rectangle_is_filled(columns, rows):
    (left, right), (top, bottom) = columns, rows
    assume(left < right and top < bottom)
    mask = read([[left, top, right, top, right, bottom, left, bottom]], 30, 30)
    assert mask.sum() == mask[top:bottom, left:right].sum() == (bottom - top) * (right - left)


NEAR = st.integers(-WIDTH, WIDTH) | st.floats(-WIDTH, WIDTH)


@given(st.lists(st.lists(NEAR, min_size=6, max_size=12), min_size=1, max_size=3))
def test_polygons_are_refused_or_read_as_pycocotools_reads_those_with_an_area(polygons):
    mask = read_or_refused(polygons)
    assert (mask is None) == any(
        len(polygon) % 2 or any(not -HEIGHT <= y <= 2 * HEIGHT for y in polygon[1::2]) for polygon in polygons
    )
    if mask is None or not mask.any():
        return
    each = [coco.decode(coco.frPyObjects([polygon], HEIGHT, WIDTH))[..., 0] for polygon in polygons]
    assert not (mask & ~np.any(each, axis=0)).any()


@given(JSON)
@example([[float("nan")] * 6])
@example([[10**400, 0, 0, 0, 0, 0]])
@example({"size": SIZE, "counts": "\ud800"})
def test_anything_else_is_refused_in_one_line_or_is_a_mask(segmentation):
    read_or_refused(segmentation)
