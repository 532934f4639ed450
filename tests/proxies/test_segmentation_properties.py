"""The segmentation target of any annotations, beside one that is made plainly: masks painted one by one, and colours
given to whole pixels' labels."""

import json
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from pycocotools import mask as coco

from sgt.data.shards import Sample
from sgt.proxies.palettes import palette
from sgt.proxies.render import encode_target
from sgt.proxies.tasks.segmentation import Segmentation

SIDES = st.tuples(st.integers(1, 14), st.integers(1, 14))
FORMS = ("compressed", "plain", "crowd", "polygons")


def segmentation(mask: np.ndarray, form: str) -> dict | list:
    """A mask, or the rectangle around it as a polygon, in a form of annotation."""
    code = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    if form == "polygons":
        left, top, width, height = coco.toBbox(code).tolist()
        corners = [left, top, left + width, top, left + width, top + height, left, top + height]
        return [corners] if mask.any() else []
    if form == "compressed":
        return {"size": list(mask.shape), "counts": code["counts"].decode()}
    flat = mask.ravel("F")
    borders = [0, *(np.flatnonzero(flat[1:] != flat[:-1]) + 1).tolist(), flat.size]
    return {"size": list(mask.shape), "counts": [0] * int(flat[0]) + np.diff(borders).tolist()}


@st.composite
def annotated(draw) -> tuple[tuple[int, int], list[dict]]:
    """The height and width of an image, and annotations: masks of any pixels, of none, of all, and rectangles."""
    height, width = draw(SIDES)
    whole = [np.zeros((height, width), bool), np.ones((height, width), bool)]
    masks = st.one_of(arrays.arrays(bool, (height, width)), st.sampled_from(whole))
    forms = draw(st.lists(st.tuples(masks, st.sampled_from(FORMS)), max_size=9))
    ids = draw(st.permutations(range(10, 10 + len(forms))))
    annotations = [
        {"id": id_, "iscrowd": int(form == "crowd"), "segmentation": segmentation(mask, form)}
        for id_, (mask, form) in zip(ids, forms, strict=True)
    ]
    return (height, width), annotations


def decoded(each: dict | list, height: int, width: int) -> np.ndarray:
    """The mask of an annotation as pycocotools decodes it."""
    if not each:
        return np.zeros((height, width), bool)
    compressed = isinstance(each, dict) and isinstance(each["counts"], str)
    code = each if compressed else coco.frPyObjects(each, height, width)
    return coco.decode(coco.merge(code) if isinstance(code, list) else code).astype(bool)


def plainly(size: tuple[int, int], annotations: list[dict], largest_last: bool) -> np.ndarray:
    """Palette indices (H, W) of at most as many labels as there are colours."""
    masks = [decoded(each["segmentation"], *size) for each in sorted(annotations, key=lambda each: each["id"])]
    labels = np.zeros(size, int)
    for number in sorted(range(len(masks)), key=lambda n: masks[n].sum() * (1 if largest_last else -1)):
        labels[masks[number]] = number + 1
    centres = {label: tuple(np.argwhere(labels == label).mean(0)[::-1]) for label in np.unique(labels[labels > 0])}
    indices = np.zeros(size, np.uint8)
    for colour, label in enumerate(sorted(centres, key=lambda label: (*centres[label], label)), 1):
        indices[labels == label] = colour
    return indices


@given(annotated(), st.booleans())
def test_a_target_is_the_one_that_is_made_plainly(image, largest_last):
    size, annotations = image
    options = Segmentation.Options(task="segmentation", overlap="larger" if largest_last else "smaller")
    sample = Sample(Path("shard.tar"), "key", {"json": json.dumps({"annotations": annotations}).encode()})
    target = Segmentation(options).render(Image.new("L", size[::-1]), sample)
    wanted = Image.fromarray(plainly(size, annotations, largest_last))
    wanted.putpalette([value for colour in palette("distinct", 20) for value in colour])
    assert encode_target(target) == encode_target(wanted)
