"""Instance masks of COCO and SA-1B annotations, as run lengths: compressed or plain RLE, or polygons.

Runs go down the columns from the upper left corner, background first, and add up to the image. They are checked here,
before any native code reads them: pycocotools trusts what it is given and reads past the end of malformed strings.
"""

import numpy as np
from pycocotools import mask as coco

from sgt.errors import SgtError

_REMEDY = "leave this sample out"


def mask_runs(annotation: dict, height: int, width: int, where: str) -> np.ndarray:
    """Run lengths of one annotation's ``segmentation``, int64 (n,); every second run, from index 1, is the object.

    Raises:
        SgtError: it is malformed or of another size than the image.
    """
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, list):
        rle = coco.merge(coco.frPyObjects(_polygons(segmentation, height, width, where), height, width))
        runs = _decompressed(rle["counts"].decode("ascii"), where)
    elif isinstance(segmentation, dict) and {"size", "counts"} <= segmentation.keys():
        if segmentation["size"] != [height, width]:
            raise SgtError(where, f"RLE of size {segmentation['size']}, image {[height, width]}", _REMEDY)
        counts = segmentation["counts"]
        if not isinstance(counts, str | list):
            raise SgtError(where, "RLE counts are neither text nor a list", _REMEDY)
        runs = counts if isinstance(counts, list) else _decompressed(counts, where)
    else:
        raise SgtError(where, "no RLE or polygon", _REMEDY)
    if not all(type(run) is int and run >= 0 for run in runs):
        raise SgtError(where, "RLE runs are not all whole numbers from 0", _REMEDY)
    if sum(runs) != height * width:
        raise SgtError(where, f"RLE runs add up to {sum(runs)}, the image has {height * width} pixels", _REMEDY)
    return np.array(runs, np.int64)


def mask_pixels(runs: np.ndarray) -> np.ndarray:
    """The object's pixels, as int64 indices into the image read column by column."""
    lengths = runs[1::2]
    before = np.cumsum(runs)[: 2 * len(lengths) : 2]
    skipped = before - (np.cumsum(lengths) - lengths)
    return np.arange(lengths.sum()) + np.repeat(skipped, lengths)


def _polygons(polygons: list, height: int, width: int, where: str) -> list[list[float]]:
    """Polygons (x, y, x, y, …) that are safe to rasterise: coordinates far outside overflow native buffers."""
    if not polygons:
        raise SgtError(where, "no polygon", _REMEDY)
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise SgtError(where, "a polygon is not a list of at least three x, y pairs", _REMEDY)
        for place, value in enumerate(polygon):
            side = height if place % 2 else width
            if type(value) not in (int, float) or not -side <= value <= 2 * side:
                raise SgtError(where, f"polygon coordinate {value!r} is not near the image", _REMEDY)
    return polygons


def _decompressed(counts: str, where: str) -> list[int]:
    """Run lengths of a compressed COCO RLE: little-endian groups of five bits, each run from the third a difference."""
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        group = ord(character) - 48
        if not 0 <= group < 64 or shift > 30:
            raise SgtError(where, f"malformed RLE near {character!r}", _REMEDY)
        value |= (group & 0x1F) << shift
        shift += 5
        if not group & 0x20:
            if group & 0x10:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift:
        raise SgtError(where, "RLE ends in the middle of a number", _REMEDY)
    return runs
