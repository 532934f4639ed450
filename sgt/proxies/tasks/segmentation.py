"""Segmentation: each object, segment or category in its own colour (high level; the SGT proxy)."""

from collections import Counter
from collections.abc import Mapping
from typing import Literal

import numpy as np
from PIL import Image
from pydantic import Field, model_validator

from sgt.config.fields import Probability
from sgt.config.proxies import ProxyOptions
from sgt.data.images import decode_target, orientation_of_sample
from sgt.data.shards import Sample
from sgt.errors import SgtError
from sgt.proxies.annotations import MAX_ANNOTATIONS, annotations
from sgt.proxies.annotators.make import Annotator, make_annotator
from sgt.proxies.annotators.options import GRANULARITY, AnnotatorOptions
from sgt.proxies.base import Proxy
from sgt.proxies.dataset_fidelity import class_sums, mean_iou, panoptic_quality, panoptic_sums
from sgt.proxies.fidelity import Measure, class_iou, matched_iou, nearest_colours, regions
from sgt.proxies.labels import Labels
from sgt.proxies.masks import area, kind_without_area, mask_runs
from sgt.proxies.painting import assign_colours, paint
from sgt.proxies.palettes import MAX_COLOURS, Palette, palette
from sgt.proxies.recolouring import permuted_colours

# Sum of the areas of all masks over the area of the image; for images of SA-1B it is a few.
MAX_COVERAGE = 100
MAX_CATEGORIES = MAX_COLOURS["distinct"]
_COCO_MAPS = ("panoptic", "stuff")


def _is_none(value: object) -> bool:
    return value is None


_OF_CATEGORIES = ("semantic", "stuff")
MATCHED_IOU, CLASS_IOU = Measure("matched IoU"), Measure("mean IoU")


class Segmentation(Proxy):
    """A label map as a palette image.

    ``granularity`` is the kind of label. ``instance``: each annotated mask, such as an object of COCO or a segment of
    SA-1B, which has no classes. ``semantic``: the category of each annotated mask. ``panoptic``: each segment of COCO's
    panoptic map. ``stuff``: the categories of COCO-Stuff's pixel map. Instances and panoptic segments get the palette's
    colours from left to right (:func:`sgt.proxies.painting.assign_colours`); a category has the same colour in every
    image, the one of the ``distinct`` palette with its number.

    Where masks overlap, smaller ones are on top of larger ones, and of two with the same area the one with the higher
    annotation id. With ``overlap: larger``, larger ones are on top and hide their parts.

    With an ``annotator``, a model makes the masks of the image, and annotations are not read.
    """

    class Options(ProxyOptions):
        """The kind of label, and its colours."""

        task: Literal["segmentation"]
        granularity: Literal["instance", "semantic", "panoptic", "stuff"] = "instance"
        palette: Palette = "distinct"
        colours: int = Field(
            20, ge=2, le=MAX_COLOURS["distinct"], description="colours of the palette that are used, without black"
        )
        overlap: Literal["smaller", "larger"] = Field("smaller", description="which of two overlapping masks is on top")
        smallest: Probability = Field(0.0, description="share of the image below which a mask is left out")
        # Absent where there is none, so that identities of targets from annotations stay as they were.
        annotator: AnnotatorOptions | None = Field(
            None, description="model that makes the masks, for images without annotations", exclude_if=_is_none
        )

        @model_validator(mode="after")
        def _check_consistent(self) -> "Segmentation.Options":
            if self.colours > MAX_COLOURS[self.palette]:
                raise ValueError(f"palette {self.palette} has {MAX_COLOURS[self.palette]} colours, not {self.colours}")
            unused = {"palette", "colours"} if self.granularity in _OF_CATEGORIES else set()
            unused |= {"overlap", "smallest"} if self.granularity in _COCO_MAPS and not self.annotator else set()
            if given := sorted(unused & self.model_fields_set):
                raise ValueError(f"granularity {self.granularity} has no {given[0]}: remove it")
            if self.annotator and self.granularity != (fitting := GRANULARITY[self.annotator.kind]):
                raise ValueError(f"annotator {self.annotator.kind} makes other labels: set granularity to {fitting}")
            return self

    options: Options
    name = "segmentation"
    level = "high"
    sheet_order = 1
    needs: tuple[str, ...] = ("json",)
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
        self._annotator: Annotator | None = None
        if self.options.annotator:
            self.needs, self.reads_pixels = (), True
        elif self.options.granularity in _COCO_MAPS:
            self.needs = ("json", f"{self.options.granularity}.png")
        self.needs_classes = self.options.granularity == "semantic"

    def render(self, image: Image.Image, sample: Sample) -> Image.Image:
        """A palette image; index 0 is background."""
        options = self.options
        where = f"{sample.shard}: {sample.key}.json"
        match options.granularity:
            case _ if options.annotator:
                target = assign_colours(self._annotated(image, options.annotator), options.colours, where)
            case "instance":
                labels = instances(sample, image.height, image.width, options.overlap == "larger", options.smallest)
                target = assign_colours(labels, options.colours, where)
            case "semantic":
                target = _categories(sample, image.height, image.width, options)
            case "panoptic":
                target = assign_colours(_segments(sample, image.size), options.colours, where)
            case _:
                target = _stuff(sample, image.size)
        target.putpalette([value for entry in self.palette for value in entry])
        return target

    def left_out(self, image: Image.Image, sample: Sample) -> Counter[str]:
        """Masks without area, and those below ``smallest``; COCO's maps have no masks."""
        if self.options.granularity in _COCO_MAPS or self.options.annotator:
            return Counter()
        listed = annotations(sample)
        masks = _masks(listed, sample, *orientation_of_sample(sample).size(image.size)[::-1])
        least = self.options.smallest * image.height * image.width
        return Counter(
            "mask below smallest" if area(runs) else kind_without_area(each)
            for each, runs in zip(listed, masks, strict=True)
            if not area(runs) or area(runs) < least
        )

    def fidelity(self, made: Image.Image, target: Image.Image, given: Image.Image) -> dict[Measure, float]:
        """Intersection over union, of pixels in the nearest colours of the palette; the background does not count.

        Which colour an instance or a panoptic segment has is arbitrary, and there may be more of them than colours: a
        segment is a connected region of one colour, matched with the region that overlaps it best
        (:func:`sgt.proxies.fidelity.matched_iou`). A category has to have its own colour.
        """
        labels = self._labels(made, target)
        return {CLASS_IOU: class_iou(*labels)} if self._of_categories else {MATCHED_IOU: matched_iou(*labels)}

    def sums(self, made: Image.Image, target: Image.Image, measured: Image.Image | None) -> dict[str, float]:
        """Of categories, pixels of each; else segments and their overlaps."""
        drawn, true = self._labels(made, target)
        return class_sums(drawn, true, len(self.palette) - 1) if self._of_categories else panoptic_sums(drawn, true)

    def dataset_fidelity(self, sums: Mapping[str, float]) -> dict[Measure, float]:
        """Of categories, mean IoU; else panoptic quality, where a segment is a connected region of one colour."""
        return mean_iou(sums) if self._of_categories else panoptic_quality(sums)

    def _labels(self, made: Image.Image, target: Image.Image) -> list[np.ndarray]:
        """Categories, or numbers of segments, of two images: int64 (H, W), 0 for the background."""
        labels = [nearest_colours(image, np.array(self.palette)) for image in (made, target)]
        return labels if self._of_categories else [*map(regions, labels)]

    @property
    def _of_categories(self) -> bool:
        return self.options.granularity in _OF_CATEGORIES

    def displayed(self, made: Image.Image, target: Image.Image) -> Image.Image:
        """Instances and panoptic segments in the target's colours, since any others would do as well."""
        if self._of_categories:
            return made
        return permuted_colours(made, target, np.array(self.palette))

    @property
    def palette(self) -> tuple[tuple[int, int, int], ...]:
        """The colours of the target; the first is the background."""
        if self._of_categories:
            return palette("distinct", MAX_CATEGORIES)
        return palette(self.options.palette, self.options.colours)

    def applies_to(self, sample: Sample) -> bool:
        """Whether the sample has annotations; a record of questions has none."""
        return super().applies_to(sample) and (self.options.annotator is not None or "annotations" in sample.json())

    @property
    def downloads(self) -> tuple[str, ...]:
        """The annotator's folder."""
        return (self.options.annotator.model,) if self.options.annotator else ()

    def _annotated(self, image: Image.Image, annotator: AnnotatorOptions) -> Labels:
        """Label map of the masks that the annotator makes of an image."""
        if self._annotator is None:
            self._annotator = make_annotator(annotator)
        least = max(1, self.options.smallest * image.height * image.width)
        masks = [runs for runs in self._annotator.masks(image) if area(runs) >= least][:MAX_ANNOTATIONS]
        return paint(masks, range(1, len(masks) + 1), *image.size[::-1], self.options.overlap == "larger")


def instances(sample: Sample, height: int, width: int, largest_last: bool = False, smallest: float = 0.0) -> Labels:
    """Label map of a sample's annotations: k for the one with the k-th lowest id.

    Args:
        sample: with annotations.
        height, width: of the upright image.
        largest_last: larger masks are on top of smaller ones.
        smallest: share of the image below which a mask is left out.

    Raises:
        SgtError: there are no annotations, or one does not fit the image.
    """
    return _painted(annotations(sample), sample, height, width, largest_last, smallest)


def _masks(listed: list[dict], sample: Sample, height: int, width: int) -> list[np.ndarray]:
    return mask_runs(listed, height, width, f"{sample.shard}: {sample.key}.json")


def _painted(
    listed: list[dict], sample: Sample, height: int, width: int, largest_last: bool, smallest: float
) -> Labels:
    """Label map of annotations, upright; height and width are those of the upright image."""
    orientation = orientation_of_sample(sample)
    stored_width, stored_height = orientation.size((width, height))
    masks = _masks(listed, sample, stored_height, stored_width)
    covered = sum(map(area, masks)) / (height * width)
    if covered > MAX_COVERAGE:
        where = f"{sample.shard}: {sample.key}.json"
        raise SgtError(where, f"the masks cover the image {covered:.0f} times", "leave this sample out")
    kept = [index for index, runs in enumerate(masks) if area(runs) and area(runs) >= smallest * height * width]
    ids = [listed[index]["id"] for index in kept]
    labels = paint([masks[index] for index in kept], ids, stored_height, stored_width, largest_last)
    return labels.upright(orientation)


def _categories(sample: Sample, height: int, width: int, options: Segmentation.Options) -> Image.Image:
    """Category of each pixel, an image of mode L; 0 is background."""
    listed = annotations(sample)
    labels = _painted(listed, sample, height, width, options.overlap == "larger", options.smallest)
    by_id = {each["id"]: each for each in listed}
    where = f"{sample.shard}: {sample.key}.json: annotation"
    return labels.to_image([0, *(_category(by_id[id_], f"{where} {id_}") for id_ in labels.ids)])


def _category(annotation: dict, where: str) -> int:
    category = annotation.get("category_id")
    if type(category) is not int or not 0 < category <= MAX_CATEGORIES:
        raise SgtError(where, f"category_id is {category!r}, not 1 to {MAX_CATEGORIES}", "use a dataset with classes")
    return category


def _segments(sample: Sample, size: tuple[int, int]) -> Labels:
    """Labels, in the order of the segment ids, from COCO's panoptic map, whose ids are R + 256 G + 65536 B; id 0 is
    unlabelled."""
    where = f"{sample.shard}: {sample.key}.panoptic.png"
    stored = np.asarray(decode_target(sample.get("panoptic.png"), where).convert("RGB"), np.int32)
    pixels = orientation_of_sample(sample).pixels(stored)
    if pixels.shape[1::-1] != size:
        raise SgtError(where, f"{pixels.shape[1]}x{pixels.shape[0]}, image {size}", "leave this sample out")
    id_map = (pixels @ np.array([1, 256, 65536], np.int32)).T
    ids, indices = np.unique(id_map, return_inverse=True)
    if len(ids) > MAX_ANNOTATIONS:
        raise SgtError(where, f"{len(ids)} segments are too many", "leave this sample out")
    labels = indices.reshape(id_map.shape).astype(np.uint16)
    return Labels.of_columns(*((labels, ids[1:].tolist()) if ids[0] == 0 else (labels + 1, ids.tolist())))


def _stuff(sample: Sample, size: tuple[int, int]) -> Image.Image:
    """Category of each pixel from COCO-Stuff's map, whose grey values or palette indices are the categories; 0 and 255
    are unlabelled and become 0."""
    where = f"{sample.shard}: {sample.key}.stuff.png"
    image = decode_target(sample.get("stuff.png"), where)
    stored = np.array(image if image.mode == "P" else image.convert("L"))
    pixels = np.ascontiguousarray(orientation_of_sample(sample).pixels(stored))
    if pixels.shape[::-1] != size:
        raise SgtError(where, f"{image.width}x{image.height}, image {size}", "leave this sample out")
    pixels[pixels == 255] = 0
    if pixels.max(initial=0) > MAX_CATEGORIES:
        raise SgtError(where, f"category {pixels.max()} is above {MAX_CATEGORIES}", "leave this sample out")
    return Image.fromarray(pixels)
