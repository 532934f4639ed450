"""COCO 2017: images read from their zip, instances, and on demand the panoptic and stuff maps.

The images of a study are the first so many of one random order of all images that have instances, so subsets of the
same seed are nested. Annotations are streamed to one file in that order of images; a shard's are then read from there.
"""

import json
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path

import numpy as np

from sgt.data.images import checked_image
from sgt.data.shards import MAX_JSON_BYTES, ShardWriter
from sgt.data.sources.archives import Archive, unpack_nested
from sgt.data.sources.base import ShardReport, Source
from sgt.data.sources.spool import Spool, SpoolWriter
from sgt.errors import SgtError

# The outer archive, and what it holds per split.
INSTANCES = ("annotations_trainval2017.zip", "instances_{split}2017.json")
PANOPTIC = ("panoptic_annotations_trainval2017.zip", "panoptic_{split}2017.json", "panoptic_{split}2017.zip")
STUFF = ("stuff_annotations_trainval2017.zip", "stuff_{split}2017_pixelmaps.zip")
_KEPT = ("id", "category_id", "iscrowd", "area", "bbox", "segmentation")


class CocoSource(Source):
    """Images in a seeded order, so many per shard."""

    def prepare(self) -> None:
        """Choose the images, and sort what is known about them."""
        archive, name = self._archive(INSTANCES[0]), self._named(INSTANCES[1])
        names = {category["id"]: category["name"] for category in archive.items(name, "categories")}
        ids = self._chosen(archive, name)
        place = {int(image): number for number, image in enumerate(ids)}
        np.save(self.work / "ids.npy", ids)
        with SpoolWriter(self.work / "images", len(ids)) as images:
            _spool(images, archive.items(name, "images"), "id", place, lambda image: image)
        with SpoolWriter(self.work / "annotations", len(ids)) as annotations:

            def kept(annotation: dict) -> dict:
                own = {field: annotation[field] for field in _KEPT if field in annotation}
                return {**own, "category": names.get(annotation.get("category_id"))}

            _spool(annotations, archive.items(name, "annotations"), "image_id", place, kept)
        if "panoptic" in self.spec.maps:
            panoptic = self._archive(PANOPTIC[0])
            with SpoolWriter(self.work / "segments", len(ids)) as segments:
                told = panoptic.items(self._named(PANOPTIC[1]), "annotations")
                _spool(segments, told, "image_id", place, lambda each: each)
            unpack_nested(panoptic, self._named(PANOPTIC[2]), self.work / "panoptic.zip")
        if "stuff" in self.spec.maps:
            unpack_nested(self._archive(STUFF[0]), self._named(STUFF[1]), self.work / "stuff.zip")

    def write(self, index: int, path: Path) -> ShardReport:
        """Write the images of one shard."""
        report, first = ShardReport(), index * self.spec.per_shard
        ids = np.load(self.work / "ids.npy", mmap_mode="r")
        with ShardWriter(path) as shard:
            for number in range(first, min(first + self.spec.per_shard, len(ids))):
                report.add(shard, f"{int(ids[number]):012d}", lambda number=number: self._sample(number))
        return report

    def _chosen(self, archive: Archive, name: str) -> np.ndarray:
        """Ids of the images that are wanted, int64, in their order."""
        images = {each.get("image_id") for each in archive.items(name, "annotations")}
        if not all(type(image) is int and 0 <= image < 10**12 for image in images):
            raise SgtError(f"{archive.path}: {name}", "an annotation's image_id is no whole number", "fetch it again")
        if len(images) < self.spec.images:
            problem = f"{len(images)} images have annotations, {self.spec.images} are wanted"
            raise SgtError(f"{archive.path}: {name}", problem, "ask for fewer in the study")
        ids = np.array(sorted(images), np.int64)
        return ids[np.random.default_rng([self.spec.seed, 2017]).permutation(len(ids))[: self.spec.images]]

    def _sample(self, number: int) -> tuple[dict[str, bytes], int]:
        found = self._images.of(number)
        if len(found) != 1 or not isinstance(found[0].get("file_name"), str):
            raise SgtError(self._pictures.path, f"image number {number} is not described once", "fetch it again")
        (about,) = found
        name = about["file_name"].rsplit("/", 1)[-1]
        image = self._pictures.read(name)
        size = checked_image(image, f"{self._pictures.path}: {name}").stored_size
        if size != (about.get("width"), about.get("height")):
            raise SgtError(f"{self._pictures.path}: {name}", f"is {size}, not as described", "leave this sample out")
        described = {"image_id": about["id"], "width": size[0], "height": size[1], "file_name": name}
        record = {"image": described, "annotations": self._annotations.of(number)}
        files = {"jpg": image}
        if "panoptic" in self.spec.maps:
            (told,) = self._segments.of(number) or ({"file_name": "", "segments_info": []},)
            record["segments"] = told["segments_info"]
            files["panoptic.png"] = self._panoptic.read(told["file_name"].rsplit("/", 1)[-1])
        if "stuff" in self.spec.maps:
            files["stuff.png"] = self._stuff.read(f"{name.rsplit('.', 1)[0]}.png")
        return {**files, "json": json.dumps(record, separators=(",", ":")).encode()}, len(record["annotations"])

    def _archive(self, name: str) -> Archive:
        return Archive(self.fetched(name))

    def _named(self, pattern: str) -> str:
        return pattern.format(split=self.spec.split)

    @cached_property
    def _pictures(self) -> Archive:
        return self._archive(f"{self.spec.split}2017.zip")

    @cached_property
    def _images(self) -> Spool:
        return Spool(self.work / "images")

    @cached_property
    def _annotations(self) -> Spool:
        return Spool(self.work / "annotations")

    @cached_property
    def _segments(self) -> Spool:
        return Spool(self.work / "segments")

    @cached_property
    def _panoptic(self) -> Archive:
        return Archive(self.work / "panoptic.zip")

    @cached_property
    def _stuff(self) -> Archive:
        return Archive(self.work / "stuff.zip")


def _spool(
    writer: SpoolWriter, items: Iterable[dict], field: str, place: dict[int, int], kept: Callable[[dict], dict]
) -> None:
    """Keep what is wanted of the items that belong to a chosen image."""
    for item in items:
        number = place.get(item.get(field))
        if number is not None:
            writer.add(number, kept(item), MAX_JSON_BYTES)
