"""Instance segmentation: every object in a colour of its own (high level; the SGT proxy)."""

from itertools import pairwise

import numpy as np
from PIL import Image

from sgt.data.shards import Sample
from sgt.errors import SgtError
from sgt.proxies.base import Proxy
from sgt.proxies.masks import mask_pixels, mask_runs

# Black for the background, then twenty colours, each the one of the 216 with channels in {0, 51, …, 255} that is
# farthest in CIELAB from all before it. The closest two of the 21 are 40.8 apart, so the first few differ even more.
PALETTE = (
    (0, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (255, 0, 0),
    (0, 255, 255),
    (255, 102, 204),
    (255, 204, 0),
    (0, 153, 255),
    (0, 102, 0),
    (0, 0, 102),
    (255, 204, 204),
    (153, 51, 51),
    (204, 255, 153),
    (153, 102, 255),
    (0, 102, 102),
    (255, 0, 255),
    (204, 255, 0),
    (255, 0, 102),
    (153, 102, 0),
    (153, 102, 153),
    (0, 255, 153),
)
COLOURS = len(PALETTE) - 1


class Segmentation(Proxy):
    """Instances painted into a palette image.

    Overlapping masks: the one with more pixels is painted first, so smaller ones stay on top (of equal ones, the
    higher annotation id does).
    Colours: instances take the palette's colours in turn, from left to right by the centroid of what is visible of
    them (then top to bottom, then by id), so the picture alone decides. With more than twenty instances the turn
    starts over, and an instance passes over the colours of those that it touches.
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
        target = Image.fromarray(colour(labels, f"{sample.shard}: {sample.key}.json", ids_of(sample)))
        target.putpalette([value for entry in PALETTE for value in entry])
        return target

    def applies_to(self, sample: Sample) -> bool:
        """Whether the sample has annotations (a record of questions has none)."""
        return super().applies_to(sample) and "annotations" in sample.json()


def ids_of(sample: Sample) -> list[int]:
    """The ids of a sample's annotations, ascending.

    Raises:
        SgtError: there is no list of annotations, or one has no whole-number id of its own.
    """
    return [annotation["id"] for annotation in _annotations(sample)]


def paint(sample: Sample, height: int, width: int) -> np.ndarray:
    """Label map of a sample's annotations, int32 (H, W): 0 for none, k for the annotation of the k-th lowest id.

    Raises:
        SgtError: there are no annotations, or one does not fit the image.
    """
    where = f"{sample.shard}: {sample.key}.json"
    masks = [
        mask_runs(annotation, height, width, f"{where}: annotation {annotation['id']}")
        for annotation in _annotations(sample)
    ]
    flat = np.zeros(height * width, np.int32)
    for index in sorted(range(len(masks)), key=lambda index: -masks[index][1::2].sum()):
        flat[mask_pixels(masks[index])] = index + 1
    return np.ascontiguousarray(flat.reshape(width, height).T)


def colour(labels: np.ndarray, where: str, ids: list[int]) -> np.ndarray:
    """Palette index per pixel, uint8 (H, W).

    Args:
        labels: int32 (H, W), as ``paint`` makes it.
        where: what to name in an error.
        ids: the annotation id of each label, from label 1.

    Raises:
        SgtError: an instance touches all twenty colours.
    """
    order = _left_to_right(labels)
    touching = neighbours(labels) if len(order) > COLOURS else {}
    table = np.zeros(len(ids) + 1, np.uint8)
    for place, label in enumerate(order):
        taken = {int(table[other]) for other in touching.get(label, ())}
        turn = ((place + offset) % COLOURS + 1 for offset in range(COLOURS))
        chosen = next((candidate for candidate in turn if candidate not in taken), None)
        if chosen is None:
            problem = f"it touches instances of all {COLOURS} colours"
            raise SgtError(f"{where}: annotation {ids[label - 1]}", problem, "leave this sample out")
        table[label] = chosen
    return table[labels]


def neighbours(labels: np.ndarray) -> dict[int, set[int]]:
    """Which instances touch which, in the 8-neighbourhood, of a label map (H, W)."""
    height, width = labels.shape
    found: dict[int, set[int]] = {}
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        a = labels[: height - down, max(0, -right) : width - max(0, right)]
        b = labels[down:, max(0, right) : width - max(0, -right)]
        border = (a != b) & (a > 0) & (b > 0)
        for first, second in set(zip(a[border].tolist(), b[border].tolist(), strict=True)):
            found.setdefault(first, set()).add(second)
            found.setdefault(second, set()).add(first)
    return found


def _left_to_right(labels: np.ndarray) -> list[int]:
    """The labels that are visible, by the column, then the row, of their centroid, then by number."""
    height, width = labels.shape
    rows, columns = np.divmod(np.arange(height * width), width)
    area = np.bincount(labels.ravel())
    x = np.bincount(labels.ravel(), columns) / np.maximum(area, 1)
    y = np.bincount(labels.ravel(), rows) / np.maximum(area, 1)
    return sorted((np.flatnonzero(area[1:]) + 1).tolist(), key=lambda label: (x[label], y[label], label))


def _annotations(sample: Sample) -> list[dict]:
    where = f"{sample.shard}: {sample.key}.json"
    annotations = sample.json().get("annotations")
    if not isinstance(annotations, list):
        raise SgtError(where, "no list of annotations", "use a dataset with masks")
    for index, annotation in enumerate(annotations):
        if not isinstance(annotation, dict) or type(annotation.get("id")) is not int:
            raise SgtError(f"{where}: annotations[{index}]", "no whole-number id", "leave this sample out")
    annotations = sorted(annotations, key=lambda annotation: annotation["id"])
    for one, other in pairwise(annotations):
        if one["id"] == other["id"]:
            raise SgtError(f"{where}: annotation {one['id']}", "two annotations have this id", "leave this sample out")
    return annotations
