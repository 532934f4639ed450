"""Palette PNGs written by sgt.data.png, read by Pillow."""

import io

import numpy as np
import pytest
from PIL import Image

from sgt.data.png import encode_palette_png

COLOURS = np.random.default_rng(0).integers(0, 256, (256, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (300, 1), (64, 48), (257, 1025)])
@pytest.mark.parametrize("colours", [1, 2, 21, 256])
def test_pillow_reads_back_every_index_and_colour(size, colours):
    labels = np.random.default_rng(1).integers(0, colours, size, dtype=np.uint8)
    image = Image.open(io.BytesIO(encode_palette_png(labels, COLOURS[:colours])))
    image.verify()
    image = Image.open(io.BytesIO(encode_palette_png(labels, COLOURS[:colours])))
    assert image.mode == "P" and image.size == size[::-1]
    assert (np.asarray(image) == labels).all()
    assert (np.asarray(image.convert("RGB")) == COLOURS[labels]).all()
    assert image.getpalette() == COLOURS[:colours].ravel().tolist()


def test_flat_maps_are_small():
    labels = np.repeat(np.repeat(np.arange(12, dtype=np.uint8).reshape(3, 4), 100, 0), 100, 1)
    assert len(encode_palette_png(labels, COLOURS[:21])) < labels.size / 50
