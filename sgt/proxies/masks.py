"""Instance masks of COCO and SA-1B annotations, as run lengths: compressed or plain RLE, or polygons.

Runs go down the columns from the upper left corner, background first, and add up to the image. They are checked here,
before any native code reads them: pycocotools trusts what it is given and reads past the end of malformed strings.

Annotation tools leave behind marks of no area: no polygon at all, a polygon of one or two points or on one line, a mask
without a pixel. They say nothing wrong about the image, so they are no masks, and the image keeps its others.
"""

from collections.abc import Sequence

import numpy as np
from pycocotools import mask as coco

from sgt.errors import SgtError

_REMEDY = "leave this sample out"
# Of five bits each, in one number: enough for any image, and too few for sums of them to overflow 64 bits.
_MOST_GROUPS = 7
# Twice the area of a triangle, in square pixels, up to which its corners are on one line but for rounding.
_ON_A_LINE = 1e-6


def mask_runs(annotations: Sequence[dict], height: int, width: int, where: str) -> list[np.ndarray]:
    """Run lengths of each annotation's ``segmentation``, int64 (n,); every second run, from index 1, is the object.

    An annotation without area has one run, of the background.

    Args:
        annotations: each with an ``id``.
        height, width: of the stored image.
        where: what to name in an error, before the annotation.

    Raises:
        SgtError: one is malformed or of another size than the image.
    """
    named = [f"{where}: annotation {annotation['id']}" for annotation in annotations]
    counts = [
        _counts(annotation.get("segmentation", ""), height, width, name)
        for annotation, name in zip(annotations, named, strict=True)
    ]
    texts = [place for place, each in enumerate(counts) if isinstance(each, bytes)]
    unpacked = _decompressed([counts[place] for place in texts], [named[place] for place in texts])
    for place, runs in zip(texts, unpacked, strict=True):
        counts[place] = runs
    for runs, name in zip(counts, named, strict=True):
        if runs.size and runs.min() < 0:
            raise SgtError(name, "RLE runs are not all whole numbers from 0", _REMEDY)
        # A run larger than the image is told before the sum, which it could overflow.
        total = int(runs.sum() if not runs.size or runs.max() <= height * width else runs.max())
        if total != height * width:
            raise SgtError(name, f"RLE runs add up to {total}, the image has {height * width} pixels", _REMEDY)
    return counts


def area(runs: np.ndarray) -> int:
    """Pixels of a mask."""
    return int(runs[1::2].sum())


def kind_without_area(annotation: dict) -> str:
    """What an annotation is that :func:`mask_runs` finds no area in, in words."""
    segmentation = annotation["segmentation"]
    if not segmentation:
        return "no polygon"
    return "polygon without area" if isinstance(segmentation, list) else "RLE without area"


def _counts(segmentation: object, height: int, width: int, where: str) -> bytes | np.ndarray:
    """Compressed counts as they are, listed ones as int64."""
    # Null says that there is none, as an empty list does; an annotation that does not speak of masks is something else.
    if segmentation is None or isinstance(segmentation, list):
        polygons = _polygons(segmentation or [], height, width, where)
        if not polygons:
            return np.array([height * width])
        return coco.merge(coco.frPyObjects(polygons, height, width))["counts"]
    if not isinstance(segmentation, dict) or not {"size", "counts"} <= segmentation.keys():
        raise SgtError(where, "no RLE or polygon", _REMEDY)
    if segmentation["size"] != [height, width]:
        raise SgtError(where, f"RLE of size {segmentation['size']}, image {[height, width]}", _REMEDY)
    counts = segmentation["counts"]
    if isinstance(counts, list):
        if not all(type(run) is int and 0 <= run < 2**31 for run in counts):
            raise SgtError(where, "RLE runs are not all whole numbers from 0", _REMEDY)
        return np.array(counts, np.int64)
    if not isinstance(counts, str):
        raise SgtError(where, "RLE counts are neither text nor a list", _REMEDY)
    if not counts.isascii():
        raise SgtError(where, "malformed RLE: characters outside ASCII", _REMEDY)
    return counts.encode("ascii")


def _polygons(polygons: list, height: int, width: int, where: str) -> list[list[float]]:
    """Those polygons (x, y, x, y, …) that have an area, all of them safe to rasterise: coordinates far outside overflow
    native buffers."""
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) % 2:
            raise SgtError(where, "a polygon is not a list of at least three x, y pairs", _REMEDY)
        for place, value in enumerate(polygon):
            side = height if place % 2 else width
            if type(value) not in (int, float) or not -side <= value <= 2 * side:
                raise SgtError(where, f"polygon coordinate {value!r} is not near the image", _REMEDY)
    return [polygon for polygon in polygons if len(polygon) >= 6 and not _on_a_line(polygon)]


def _on_a_line(polygon: list[float]) -> bool:
    points = np.reshape(polygon, (-1, 2)).astype(float)
    x, y = (points - points[0]).T
    farthest = np.argmax(x * x + y * y)
    return bool(np.abs(x[farthest] * y - y[farthest] * x).max() <= _ON_A_LINE)


def _decompressed(counts: list[bytes], where: list[str]) -> list[np.ndarray]:
    """Run lengths, int64, of compressed COCO RLEs, all unpacked together.

    Numbers are little-endian groups of five bits, with a sixth that tells whether more follow; every number of an RLE
    from its fourth on is the difference to the one two before it.
    """
    groups = np.frombuffer(b"".join(counts), np.uint8)
    if (groups < 48).any() or (groups > 48 + 63).any():
        for each, name in zip(counts, where, strict=True):
            if wrong := [character for character in each if not 48 <= character < 48 + 64]:
                raise SgtError(name, f"malformed RLE near {chr(wrong[0])!r}", _REMEDY)
    groups = groups - np.uint8(48)
    ends = np.cumsum([len(each) for each in counts], dtype=np.int64)
    last = np.flatnonzero(groups < 0x20)
    # How many numbers were finished when each text was; it must itself end with one.
    finished = np.searchsorted(last, ends)
    for place, end in enumerate(ends.tolist()):
        if counts[place] and groups[end - 1] >= 0x20:
            raise SgtError(where[place], "malformed RLE: it ends in the middle of a number", _REMEDY)
    if last.size == 0:
        return [np.zeros(0, np.int64) for _ in counts]
    first = np.concatenate(([0], last[:-1] + 1))
    length = last - first + 1
    if length.max() > _MOST_GROUPS:
        name = where[int(np.searchsorted(finished, length.argmax(), side="right"))]
        raise SgtError(name, "malformed RLE: a number too large", _REMEDY)
    numbers = (groups[first] & 0x1F).astype(np.int64)
    for place in range(1, int(length.max())):
        longer = np.flatnonzero(length > place)
        numbers[longer] |= (groups[first[longer] + place] & 0x1F).astype(np.int64) << 5 * place
    # The highest bit of the last group is the sign.
    numbers -= (groups[last] & 0x10).astype(np.int64) >> 4 << 5 * length
    unpacked = np.split(numbers, finished[:-1])
    for runs in unpacked:
        np.cumsum(runs[1::2], out=runs[1::2])
        np.cumsum(runs[2::2], out=runs[2::2])
    return unpacked
