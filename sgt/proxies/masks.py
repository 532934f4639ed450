"""Instance masks of COCO and SA-1B annotations, as run lengths: compressed or plain RLE, or polygons.

Runs go down the columns from the upper left corner, background first, and add up to the image. They are checked here
before native code reads them, because pycocotools reads past the end of malformed strings.

Annotation tools also write annotations without area: no polygon, a polygon of one or two points or of points on one
line, a mask without a pixel. These are left out, and the image keeps its other masks.
"""

from collections.abc import Sequence

import numpy as np
from pycocotools import mask as coco

from sgt.errors import SgtError

_REMEDY = "leave this sample out"
# Groups of five bits in a number: enough for any image, and too few for sums of numbers to overflow 64 bits.
_MAX_GROUPS = 7
# Twice the area of a triangle, in square pixels, up to which its corners count as collinear (rounding errors).
_COLLINEAR = 1e-6


def mask_runs(annotations: Sequence[dict], height: int, width: int, where: str) -> list[np.ndarray]:
    """Run lengths of each annotation's ``segmentation``, int64 (n,); runs 1, 3, 5, … are the object.

    An annotation without area has a single run, of background.

    Args:
        annotations: each with an ``id``.
        height, width: of the stored image.
        where: the file, for error messages.

    Raises:
        SgtError: a segmentation is malformed, or its size is not the image's.
    """
    names = [f"{where}: annotation {annotation['id']}" for annotation in annotations]
    counts = [
        _counts(annotation.get("segmentation", ""), height, width, name)
        for annotation, name in zip(annotations, names, strict=True)
    ]
    compressed = [(each, name) for each, name in zip(counts, names, strict=True) if isinstance(each, bytes)]
    decompressed = iter(_decompress([each for each, _ in compressed], [name for _, name in compressed]))
    masks = [next(decompressed) if isinstance(each, bytes) else each for each in counts]
    for runs, name in zip(masks, names, strict=True):
        if runs.size and runs.min() < 0:
            raise SgtError(name, "RLE runs are not all whole numbers from 0", _REMEDY)
        # A run larger than the image is reported instead of the sum, which it could overflow.
        total = int(runs.sum() if not runs.size or runs.max() <= height * width else runs.max())
        if total != height * width:
            raise SgtError(name, f"RLE runs add up to {total}, the image has {height * width} pixels", _REMEDY)
    return masks


def runs_of(mask: np.ndarray) -> np.ndarray:
    """Run lengths of a mask, bool (H, W): int64, by columns, background first, as :func:`mask_runs` gives them."""
    flat = mask.ravel(order="F")
    borders = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    first = [0, 0] if flat[0] else [0]
    return np.diff(np.concatenate([first, borders, [flat.size]])).astype(np.int64)


def area(runs: np.ndarray) -> int:
    """Number of pixels of a mask."""
    return int(runs[1::2].sum())


def kind_without_area(annotation: dict) -> str:
    """The kind of an annotation in which :func:`mask_runs` finds no area, for reports."""
    segmentation = annotation["segmentation"]
    if not segmentation:
        return "no polygon"
    return "polygon without area" if isinstance(segmentation, list) else "RLE without area"


def _counts(segmentation: object, height: int, width: int, where: str) -> bytes | np.ndarray:
    """The run lengths of a segmentation, int64; compressed RLE is returned as it is, to be decompressed with others."""
    # Null and an empty list mean that there is no polygon; a missing key is an error.
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
    """The polygons (x, y, x, y, …) that have an area.

    Raises:
        SgtError: a polygon is malformed, or a coordinate so far outside the image that rasterising it would overflow
            native buffers.
    """
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) % 2:
            raise SgtError(where, "a polygon is not a list of at least three x, y pairs", _REMEDY)
        for index, value in enumerate(polygon):
            side = height if index % 2 else width
            if type(value) not in (int, float) or not -side <= value <= 2 * side:
                raise SgtError(where, f"polygon coordinate {value!r} is not near the image", _REMEDY)
    return [polygon for polygon in polygons if len(polygon) >= 6 and not _is_collinear(polygon)]


def _is_collinear(polygon: list[float]) -> bool:
    points = np.reshape(polygon, (-1, 2)).astype(float)
    x, y = (points - points[0]).T
    farthest = np.argmax(x * x + y * y)
    return bool(np.abs(x[farthest] * y - y[farthest] * x).max() <= _COLLINEAR)


def _decompress(counts: list[bytes], where: list[str]) -> list[np.ndarray]:
    """Run lengths, int64, of compressed COCO RLEs, all decoded together.

    A number is stored in characters of six bits each, from 48 on: five bits of the number, lowest first, and a bit that
    is set if more follow. From the fourth on, a number is the difference to the number two before it.

    Raises:
        SgtError: one is malformed.
    """
    groups = np.frombuffer(b"".join(counts), np.uint8)
    if (groups < 48).any() or (groups > 48 + 63).any():
        for each, name in zip(counts, where, strict=True):
            if wrong := [character for character in each if not 48 <= character < 48 + 64]:
                raise SgtError(name, f"malformed RLE near {chr(wrong[0])!r}", _REMEDY)
    groups = groups - np.uint8(48)
    ends = np.cumsum([len(each) for each in counts], dtype=np.int64)
    last = np.flatnonzero(groups < 0x20)
    # How many numbers end in each RLE and those before it.
    finished = np.searchsorted(last, ends)
    for index, end in enumerate(ends.tolist()):
        if counts[index] and groups[end - 1] >= 0x20:
            raise SgtError(where[index], "malformed RLE: it ends in the middle of a number", _REMEDY)
    if last.size == 0:
        return [np.zeros(0, np.int64) for _ in counts]
    first = np.concatenate(([0], last[:-1] + 1))
    length = last - first + 1
    if length.max() > _MAX_GROUPS:
        name = where[int(np.searchsorted(finished, length.argmax(), side="right"))]
        raise SgtError(name, "malformed RLE: a number too large", _REMEDY)
    numbers = (groups[first] & 0x1F).astype(np.int64)
    for position in range(1, int(length.max())):
        longer = np.flatnonzero(length > position)
        numbers[longer] |= (groups[first[longer] + position] & 0x1F).astype(np.int64) << 5 * position
    # The highest bit of a number's last group is its sign.
    numbers -= (groups[last] & 0x10).astype(np.int64) >> 4 << 5 * length
    decoded = np.split(numbers, finished[:-1])
    for runs in decoded:
        np.cumsum(runs[1::2], out=runs[1::2])
        np.cumsum(runs[2::2], out=runs[2::2])
    return decoded
