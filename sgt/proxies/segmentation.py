"""Instance segmentation: every object in a colour of its own (high level; the SGT proxy)."""

import numpy as np
from PIL import Image

from sgt.data.shards import Sample
from sgt.errors import SgtError
from sgt.proxies.base import Proxy

# Black for the background, then twenty colours far apart in hue and lightness, all saturated enough to tell from black.
PALETTE = (
    (0, 0, 0),
    (230, 25, 75),
    (60, 180, 75),
    (255, 225, 25),
    (0, 130, 200),
    (245, 130, 48),
    (145, 30, 180),
    (70, 240, 240),
    (240, 50, 230),
    (210, 245, 60),
    (250, 190, 212),
    (0, 128, 128),
    (220, 190, 255),
    (170, 110, 40),
    (255, 250, 200),
    (128, 0, 0),
    (170, 255, 195),
    (128, 128, 0),
    (255, 215, 180),
    (0, 0, 128),
    (128, 128, 128),
)
COLOURS = len(PALETTE) - 1


class Segmentation(Proxy):
    """Instances painted into a palette image.

    Overlapping masks: larger ones are painted first, so smaller ones stay visible (ties by position in the list).
    Colours: instances take the palette's colours from left to right by the centroid of what is visible of them, so the
    colour of an object is decided by the picture; from the twenty-first on, each takes the first colour, in turn, that
    no instance touching it has.
    """

    name = "segmentation"
    level = "high"
    needs = ("json",)
    label_like = True
    prompts = (
        "colour every object differently",
        "paint each object in its own colour",
        "segment all the objects",
        "make a mask of every object",
        "show which object each point belongs to",
        "separate the objects by colour",
    )

    def render(self, image: Image.Image, sample: Sample) -> Image.Image:
        """A palette image: 0 is background, 1 to 20 are instances."""
        labels = paint(sample, image.height, image.width)
        target = Image.fromarray(colour(labels, f"{sample.shard}: {sample.key}"), mode="P")
        target.putpalette([value for entry in PALETTE for value in entry])
        return target


def paint(sample: Sample, height: int, width: int) -> np.ndarray:
    """Label map of a sample's annotations: int32 (H, W), 0 for none, i + 1 for the i-th annotation.

    Raises:
        SgtError: there are no annotations, or one does not fit the image.
    """
    where = f"{sample.shard}: {sample.key}.json"
    annotations = sample.json().get("annotations")
    if not isinstance(annotations, list):
        raise SgtError(where, "no list of annotations", "use a dataset with masks")
    masks = [
        decode_mask(annotation, height, width, f"{where}: annotations[{index}]")
        for index, annotation in enumerate(annotations)
    ]
    labels = np.zeros((height, width), np.int32)
    for index in sorted(range(len(masks)), key=lambda i: -int(masks[i].sum())):
        labels[masks[index]] = index + 1
    return labels


def decode_mask(annotation: dict, height: int, width: int, where: str) -> np.ndarray:
    """One annotation's mask, bool (H, W): compressed or uncompressed RLE, or polygons.

    Raises:
        SgtError: it is malformed or of another size than the image.
    """
    from pycocotools import mask as coco  # here, so that reading a study does not load it

    segmentation = annotation.get("segmentation") if isinstance(annotation, dict) else None
    if isinstance(segmentation, list):
        if not segmentation or any(len(polygon) < 6 or len(polygon) % 2 for polygon in segmentation):
            raise SgtError(where, "a polygon needs at least three points", "leave this sample out")
        rle = coco.merge(coco.frPyObjects(segmentation, height, width))
        return coco.decode(rle).astype(bool)
    if not isinstance(segmentation, dict) or not {"size", "counts"} <= segmentation.keys():
        raise SgtError(where, "no RLE or polygon", "leave this sample out")
    if segmentation["size"] != [height, width]:
        raise SgtError(where, f"RLE of size {segmentation['size']}, image {[height, width]}", "leave this sample out")
    counts = segmentation["counts"]
    runs = counts if isinstance(counts, list) else _runs(counts, where)
    if any(not isinstance(run, int) or run < 0 for run in runs) or sum(runs) != height * width:
        raise SgtError(where, "RLE runs do not add up to the image", "leave this sample out")
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return flat.reshape(width, height).T


def colour(labels: np.ndarray, where: str) -> np.ndarray:
    """Palette index per pixel, uint8 (H, W), from a label map.

    Raises:
        SgtError: an instance touches all twenty colours.
    """
    present = np.unique(labels[labels > 0])
    rows, columns = np.indices(labels.shape)
    area = np.bincount(labels.ravel())
    centre_x = np.bincount(labels.ravel(), columns.ravel()) / np.maximum(area, 1)
    centre_y = np.bincount(labels.ravel(), rows.ravel()) / np.maximum(area, 1)
    order = sorted(present.tolist(), key=lambda label: (centre_x[label], centre_y[label], label))
    table = np.zeros(len(area), np.uint8)
    if len(order) <= COLOURS:
        table[order] = np.arange(1, len(order) + 1)
        return table[labels]
    touching = neighbours(labels)
    for place, label in enumerate(order):
        taken = {int(table[other]) for other in touching.get(label, ())}
        turn = [(place + offset) % COLOURS + 1 for offset in range(COLOURS)]
        free = next((candidate for candidate in turn if candidate not in taken), None)
        if free is None:
            raise SgtError(where, f"an instance touches {COLOURS} colours", "leave this sample out")
        table[label] = free
    return table[labels]


def neighbours(labels: np.ndarray) -> dict[int, set[int]]:
    """Which instances touch which, in the 8-neighbourhood."""
    height, width = labels.shape
    found: dict[int, set[int]] = {}
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        a = labels[: height - down, max(0, -right) : width - max(0, right)]
        b = labels[down:, max(0, right) : width - max(0, -right)]
        different = (a != b) & (a > 0) & (b > 0)
        pairs = np.unique(np.stack([a[different], b[different]], axis=1), axis=0)
        for first, second in pairs.tolist():
            found.setdefault(first, set()).add(second)
            found.setdefault(second, set()).add(first)
    return found


def _runs(counts: object, where: str) -> list[int]:
    """Run lengths of a compressed COCO RLE string: base-32 groups of five bits, each from the third on a difference.

    Decoded here and not by pycocotools, which reads past the end of malformed strings.
    """
    if not isinstance(counts, str):
        raise SgtError(where, "RLE counts are neither text nor a list", "leave this sample out")
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        group = ord(character) - 48
        if not 0 <= group < 64 or shift > 30:
            raise SgtError(where, f"malformed RLE near {character!r}", "leave this sample out")
        value |= (group & 0x1F) << shift
        shift += 5
        if not group & 0x20:
            if group & 0x10:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift:
        raise SgtError(where, "RLE ends in the middle of a number", "leave this sample out")
    return runs
