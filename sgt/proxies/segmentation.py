"""Segmentation: every object, segment or category in a colour of its own (high level; the SGT proxy)."""

from collections import Counter
from itertools import pairwise
from typing import Literal

import numpy as np
from PIL import Image
from pydantic import Field, model_validator

from sgt.config.fields import Probability
from sgt.config.proxies import ProxyOptions
from sgt.data.images import decode_target, orientation_of_sample
from sgt.data.shards import Sample
from sgt.errors import SgtError
from sgt.proxies.base import Proxy
from sgt.proxies.masks import area, kind_without_area, mask_runs
from sgt.proxies.painting import Labels, colour, paint
from sgt.proxies.palettes import MOST, Palette, palette

MOST_ANNOTATIONS = 10_000
# How often all masks together may cover the image; those of SA-1B do a few times.
MOST_COVER = 100
MOST_CATEGORIES = MOST["distinct"]
_OF_COCO = ("panoptic", "stuff")


class Segmentation(Proxy):
    """Labels painted into a palette image.

    ``granularity`` says what a label is. ``instance``: each annotated mask, whatever made it: an object of COCO, or a
    segment of any size of SA-1B, which names no classes. ``semantic``: the category of the annotated mask.
    ``panoptic``: each segment of COCO's panoptic map. ``stuff``: the categories of COCO-Stuff's pixel map. Labels of
    the first and third take the palette's colours in turn (:func:`sgt.proxies.painting.colour`); a category has the
    same colour in every image, the one of the ``distinct`` palette at its number.

    Overlapping masks: the one with more pixels is painted first, so smaller ones stay on top (of equal ones, the
    higher annotation id does); ``overlap: larger`` is the other way round, so that parts vanish in wholes.
    """

    class Options(ProxyOptions):
        """What is a label, and how it is coloured."""

        task: Literal["segmentation"]
        granularity: Literal["instance", "semantic", "panoptic", "stuff"] = "instance"
        palette: Palette = "distinct"
        colours: int = Field(20, ge=2, le=MOST["distinct"], description="of the palette, besides black; then in turn")
        overlap: Literal["smaller", "larger"] = Field("smaller", description="which of two masks is on top")
        smallest: Probability = Field(0.0, description="share of the image below which a mask is left out")

        @model_validator(mode="after")
        def _possible(self) -> "Segmentation.Options":
            if self.colours > MOST[self.palette]:
                raise ValueError(f"palette {self.palette} has {MOST[self.palette]} colours, not {self.colours}")
            unused = {"palette", "colours"} if self.granularity in ("semantic", "stuff") else set()
            unused |= {"overlap", "smallest"} if self.granularity in _OF_COCO else set()
            if named := sorted(unused & self.model_fields_set):
                raise ValueError(f"granularity {self.granularity} has no {named[0]}: remove it")
            return self

    name = "segmentation"
    level = "high"
    needs = ("json",)
    label_like = True
    reads_pixels = False
    prompts = (
        "colour every object differently",
        "paint each object in its own colour",
        "segment all the objects",
        "make a mask of every object",
        "show which object each point belongs to",
        "separate the objects by colour",
    )

    def __init__(self, options: ProxyOptions | None = None) -> None:
        super().__init__(options)
        if self.options.granularity in _OF_COCO:
            self.needs = ("json", f"{self.options.granularity}.png")
        self.needs_classes = self.options.granularity == "semantic"

    def render(self, image: Image.Image, sample: Sample) -> Image.Image:
        """A palette image: 0 is background."""
        options = self.options
        where = f"{sample.shard}: {sample.key}.json"
        match options.granularity:
            case "instance":
                labels = instances(sample, image.height, image.width, options.overlap == "larger", options.smallest)
                target = colour(labels, options.colours, where)
            case "semantic":
                target = _categories(sample, image.height, image.width, options)
            case "panoptic":
                target = colour(_segments(sample, image.size), options.colours, where)
            case _:
                target = _stuff(sample, image.size)
        target.putpalette([value for entry in self.palette for value in entry])
        return target

    def left_out(self, image: Image.Image, sample: Sample) -> Counter[str]:
        """Masks without area; the maps of COCO have none."""
        if self.options.granularity in _OF_COCO:
            return Counter()
        found = annotations(sample)
        masks = _masks(found, sample, *orientation_of_sample(sample).size(image.size)[::-1])
        kinds = (kind_without_area(each) for each, runs in zip(found, masks, strict=True) if not area(runs))
        return Counter(kinds)

    @property
    def palette(self) -> tuple[tuple[int, int, int], ...]:
        """The colours of the target, from the background on."""
        if self.options.granularity in ("semantic", "stuff"):
            return palette("distinct", MOST_CATEGORIES)
        return palette(self.options.palette, self.options.colours)

    def applies_to(self, sample: Sample) -> bool:
        """Whether the sample has annotations (a record of questions has none)."""
        return super().applies_to(sample) and "annotations" in sample.json()


def instances(sample: Sample, height: int, width: int, largest_last: bool = False, smallest: float = 0.0) -> Labels:
    """Label map of a sample's annotations: k for the annotation of the k-th lowest id.

    Raises:
        SgtError: there are no annotations, or one does not fit the image.
    """
    return _painted(annotations(sample), sample, height, width, largest_last, smallest)


def annotations(sample: Sample) -> list[dict]:
    """A sample's annotations by ascending id.

    Raises:
        SgtError: there is no list of annotations, or one has no whole-number id of its own.
    """
    where = f"{sample.shard}: {sample.key}.json"
    found = sample.json().get("annotations")
    if not isinstance(found, list):
        raise SgtError(where, "no list of annotations", "use a dataset with masks")
    if len(found) > MOST_ANNOTATIONS:
        raise SgtError(where, f"{len(found)} annotations are too many", "leave this sample out")
    for index, annotation in enumerate(found):
        if not isinstance(annotation, dict) or type(annotation.get("id")) is not int:
            raise SgtError(f"{where}: annotations[{index}]", "no whole-number id", "leave this sample out")
    found = sorted(found, key=lambda annotation: annotation["id"])
    for one, other in pairwise(found):
        if one["id"] == other["id"]:
            raise SgtError(f"{where}: annotation {one['id']}", "two annotations have this id", "leave this sample out")
    return found


def _masks(found: list[dict], sample: Sample, height: int, width: int) -> list[np.ndarray]:
    return mask_runs(found, height, width, f"{sample.shard}: {sample.key}.json")


def _painted(found: list[dict], sample: Sample, height: int, width: int, largest_last: bool, smallest: float) -> Labels:
    """Label map of annotations, upright."""
    turn = orientation_of_sample(sample)
    stored = turn.size((width, height))
    masks = _masks(found, sample, *stored[::-1])
    covered = sum(map(area, masks)) / (height * width)
    if covered > MOST_COVER:
        where = f"{sample.shard}: {sample.key}.json"
        raise SgtError(where, f"the masks cover the image {covered:.0f} times", "leave this sample out")
    kept = [place for place, runs in enumerate(masks) if area(runs) and area(runs) >= smallest * height * width]
    ids = [found[place]["id"] for place in kept]
    return paint([masks[place] for place in kept], ids, *stored[::-1], largest_last).turned(turn)


def _categories(sample: Sample, height: int, width: int, options: ProxyOptions) -> Image.Image:
    found = annotations(sample)
    labels = _painted(found, sample, height, width, options.overlap == "larger", options.smallest)
    named = {each["id"]: each for each in found}
    where = f"{sample.shard}: {sample.key}.json: annotation"
    return labels.painted([0, *(_category(named[id_], f"{where} {id_}") for id_ in labels.ids)])


def _category(annotation: dict, where: str) -> int:
    category = annotation.get("category_id")
    if type(category) is not int or not 0 < category <= MOST_CATEGORIES:
        raise SgtError(where, f"category_id is {category!r}, not 1 to {MOST_CATEGORIES}", "use a dataset with classes")
    return category


def _segments(sample: Sample, size: tuple[int, int]) -> Labels:
    """COCO's panoptic map, where a segment's id is R + 256 G + 65536 B, as labels in the order of the ids; 0 is
    unlabelled."""
    where = f"{sample.shard}: {sample.key}.panoptic.png"
    stored = np.asarray(decode_target(sample.get("panoptic.png"), where).convert("RGB"), np.int32)
    pixels = orientation_of_sample(sample).pixels(stored)
    if pixels.shape[1::-1] != size:
        raise SgtError(where, f"{pixels.shape[1]}x{pixels.shape[0]}, image {size}", "leave this sample out")
    coded = (pixels @ np.array([1, 256, 65536], np.int32)).T
    ids, places = np.unique(coded, return_inverse=True)
    if len(ids) > MOST_ANNOTATIONS:
        raise SgtError(where, f"{len(ids)} segments are too many", "leave this sample out")
    labels = places.reshape(coded.shape).astype(np.uint16)
    return Labels(labels, ids[1:].tolist()) if ids[0] == 0 else Labels(labels + 1, ids.tolist())


def _stuff(sample: Sample, size: tuple[int, int]) -> Image.Image:
    """COCO-Stuff's map: grey, or a palette whose indices count, each the number of a category; 0 and 255 are
    unlabelled."""
    where = f"{sample.shard}: {sample.key}.stuff.png"
    image = decode_target(sample.get("stuff.png"), where)
    stored = np.array(image if image.mode == "P" else image.convert("L"))
    pixels = np.ascontiguousarray(orientation_of_sample(sample).pixels(stored))
    if pixels.shape[::-1] != size:
        raise SgtError(where, f"{image.width}x{image.height}, image {size}", "leave this sample out")
    pixels[pixels == 255] = 0
    if pixels.max(initial=0) > MOST_CATEGORIES:
        raise SgtError(where, f"category {pixels.max()} is above {MOST_CATEGORIES}", "leave this sample out")
    return Image.fromarray(pixels)
