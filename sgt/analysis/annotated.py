"""What is known about the objects of an image, from its annotations: masks, and what probes are to find."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from sgt.data.images import image_of, orientation_of_sample
from sgt.data.shards import Sample
from sgt.data.toyworld.vocabulary import COLUMNS, ROWS
from sgt.errors import SgtError
from sgt.proxies.annotations import annotations
from sgt.proxies.masks import area, mask_runs


@dataclass(frozen=True)
class AnnotatedObject:
    """One object of an image.

    Attributes:
        mask: bool (height, width) of the upright image.
        labels: ``class``; ``column`` and ``row``, the third of the image that the mask's centroid is in; of built-in
            scenes also ``colour``, ``size`` and ``depth``, along the optical axis, scene units.
    """

    mask: np.ndarray
    labels: dict[str, str | float]


@dataclass(frozen=True)
class AnnotatedImage:
    """An image with its objects, in the order of their ids."""

    key: str
    image: Image.Image
    objects: list[AnnotatedObject]


def annotated_image(sample: Sample) -> AnnotatedImage:
    """A sample's image and objects: the annotations that have an area and a class; crowds are left out.

    Raises:
        SgtError: an annotation is malformed, or scene and annotations differ in number.
    """
    image, orientation, where = image_of(sample), orientation_of_sample(sample), f"{sample.shard}: {sample.key}.json"
    listed = annotations(sample)
    # Built-in scenes describe their things in the order of their annotations.
    things = sample.json().get("scene", {}).get("objects", [{}] * len(listed))
    if len(things) != len(listed):
        raise SgtError(where, f"{len(things)} things, {len(listed)} annotations", "leave this sample out")
    width, height = orientation.size(image.size)
    objects = []
    masks = mask_runs(listed, height, width, where)
    for annotation, thing, runs in zip(listed, things, masks, strict=True):
        if not area(runs) or annotation.get("iscrowd") or not isinstance(annotation.get("category"), str):
            continue
        inside = np.arange(len(runs)) % 2 == 1
        mask = np.ascontiguousarray(orientation.pixels(np.repeat(inside, runs).reshape(width, height).T))
        known = {name: thing[name] for name in ("colour", "size", "depth") if name in thing}
        objects.append(AnnotatedObject(mask, {"class": annotation["category"], **_place(mask), **known}))
    return AnnotatedImage(sample.key, image, objects)


def _place(mask: np.ndarray) -> dict[str, str]:
    """The column and the row of a mask that has an area."""
    rows, columns = np.nonzero(mask)
    height, width = mask.shape
    return {
        "column": COLUMNS[int(3 * (columns.mean() + 0.5) / width)],
        "row": ROWS[int(3 * (rows.mean() + 0.5) / height)],
    }
