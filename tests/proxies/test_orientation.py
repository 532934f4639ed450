"""A photograph that is stored on its side gives the target of the upright one: masks, maps, boxes and depth turn with
it."""

import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco
from skimage import data as photographs

from sgt.data.images import decode_image, encode_png, read_header
from sgt.data.shards import Sample
from sgt.proxies import PROXIES, make_proxy
from sgt.proxies.render import target_of
from tests.data.test_images import tagged

STORED = np.ascontiguousarray(photographs.chelsea()[::6, ::6])
HEIGHT, WIDTH = STORED.shape[:2]
BOXES = ((3, 4, 20, 12), (30, 2, 9, 25), (18, 20, 24, 17))
KINDS = [
    *(("segmentation", {"granularity": kind}) for kind in ("instance", "semantic", "panoptic", "stuff")),
    *((name, {}) for name in ("detection", "depth", "normals", "edge", "reconstruction")),
]


def maps() -> dict[str, np.ndarray]:
    """What lies over the stored pixels."""
    panoptic = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    stuff = np.zeros((HEIGHT, WIDTH), np.uint8)
    for number, (x, y, width, height) in enumerate(BOXES, 1):
        panoptic[y : y + height, x : x + width, 0] = number
        stuff[y : y + height, x : x + width] = number
    depth = np.arange(1, HEIGHT * WIDTH + 1, dtype=np.uint16).reshape(HEIGHT, WIDTH)
    return {"panoptic.png": panoptic, "stuff.png": stuff, "depth.png": depth}


def sample_of(picture: bytes, turn) -> Sample:
    """A sample whose annotations and maps are turned, as ``turn`` turns arrays."""
    annotations = []
    for number, (x, y, width, height) in enumerate(BOXES, 1):
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[y : y + height, x : x + width] = 1
        mask = turn(mask)
        rle = coco.encode(np.asfortranarray(mask))
        rle = {"size": list(mask.shape), "counts": rle["counts"].decode()}
        annotations.append(
            {"id": number, "category_id": number, "segmentation": rle, "bbox": coco.toBbox(rle).tolist()}
        )
    files = {name: encode_png(np.ascontiguousarray(turn(each))) for name, each in maps().items()}
    record = json.dumps({"annotations": annotations}).encode()
    return Sample(Path("shard.tar"), "key", {"png": picture, "json": record, **files})


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize(("name", "chosen"), KINDS)
def test_a_turned_photograph_gives_the_target_of_the_upright_one(name, chosen, orientation):
    proxy = make_proxy(PROXIES[name].Options.model_validate({"task": name, **chosen}))
    on_its_side = tagged(orientation, pixels=STORED)
    turn = read_header(on_its_side, "photo").orientation
    upright = encode_png(np.ascontiguousarray(turn.pixels(STORED)))
    assert (np.asarray(decode_image(on_its_side, "photo")) == np.asarray(decode_image(upright, "photo"))).all()
    expected = target_of(proxy, sample_of(upright, turn.pixels))
    target = target_of(proxy, sample_of(on_its_side, lambda array: array))
    assert target.mode == expected.mode and target.size == turn.size((WIDTH, HEIGHT))
    assert (np.asarray(target) == np.asarray(expected)).all()
    assert len(np.unique(np.asarray(target))) > 2
