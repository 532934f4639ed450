"""COCO 2017: images read from their zip, with instances, and panoptic and stuff maps if requested.

The images of a study are the first N in one random order of all images that have instances, so subsets with the same
seed are nested. Annotations are streamed to one file, indexed by position in that order, and read from there shard by
shard.
"""

import json
from collections.abc import Callable, Iterable
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from sgt.config.datasets import Coco
from sgt.data.images import checked_image
from sgt.data.names import parts_of
from sgt.data.shards import MAX_JSON_BYTES, ShardWriter
from sgt.data.sources.archives import Archive, unpack_nested
from sgt.data.sources.base import ShardReport, Source, checked_annotations
from sgt.data.sources.spool import Spool, SpoolWriter
from sgt.errors import SgtError

# The outer archive, and its members per split.
INSTANCES = ("annotations_trainval2017.zip", "instances_{split}2017.json")
PANOPTIC = ("panoptic_annotations_trainval2017.zip", "panoptic_{split}2017.json", "panoptic_{split}2017.zip")
STUFF = ("stuff_annotations_trainval2017.zip", "stuff_{split}2017_pixelmaps.zip")
_KEPT = ("id", "category_id", "iscrowd", "area", "bbox", "segmentation")


class CocoSource(Source):
    """Images in a seeded random order, ``per_shard`` in each shard."""

    spec: Coco

    def prepare(self) -> None:
        """Choose the images, and index their descriptions and annotations."""
        archive, name = self._archive(INSTANCES[0]), self._named(INSTANCES[1])
        names = {each.get("id"): each.get("name") for each in archive.items(name, "categories") if _described(each)}
        ids, strays = self._chosen(archive, name)
        place = {int(image): number for number, image in enumerate(ids)}
        np.save(self.work / "ids.npy", ids)
        with SpoolWriter(self.work / "images", len(ids)) as images:
            _spool(images, archive.items(name, "images"), "id", place, lambda image: image)
        with SpoolWriter(self.work / "annotations", len(ids)) as annotations:

            def with_category(annotation: dict) -> dict:
                own, category = {field: annotation[field] for field in _KEPT if field in annotation}, None
                if type(annotation.get("category_id")) is int:
                    category = names.get(annotation["category_id"])
                return {**own, "category": category}

            _spool(annotations, archive.items(name, "annotations"), "image_id", place, with_category)
        self.record_archive(archive.path.name, archive.passed_over, annotations_without_image=strays)
        used = [self._archive(f"{self.spec.split}2017.zip")]
        if "panoptic" in self.spec.maps:
            panoptic = self._archive(PANOPTIC[0])
            with SpoolWriter(self.work / "segments", len(ids)) as segments:
                items = panoptic.items(self._named(PANOPTIC[1]), "annotations")
                _spool(segments, items, "image_id", place, lambda each: each)
            unpack_nested(panoptic, self._named(PANOPTIC[2]), self.work / "panoptic.zip")
            used += [panoptic, Archive(self.work / "panoptic.zip")]
        if "stuff" in self.spec.maps:
            stuff = self._archive(STUFF[0])
            unpack_nested(stuff, self._named(STUFF[1]), self.work / "stuff.zip")
            used += [stuff, Archive(self.work / "stuff.zip")]
        for each in used:
            self.record_archive(each.path.name, each.passed_over)

    def write(self, index: int, path: Path) -> ShardReport:
        """Write the images of one shard."""
        report, first = ShardReport(), index * self.spec.per_shard
        ids = np.load(self.work / "ids.npy", mmap_mode="r")
        with ShardWriter(path) as shard:
            for number in range(first, min(first + self.spec.per_shard, len(ids))):
                report.add(shard, f"{int(ids[number]):012d}", f"{self.spec.split}2017", partial(self._sample, number))
        return report

    def _chosen(self, archive: Archive, name: str) -> tuple[np.ndarray, int]:
        """Ids of the chosen images, int64, in their order; and the number of annotations without a valid image id."""
        images, strays, count = set(), 0, 0
        for each in archive.items(name, "annotations"):
            image, count = each.get("image_id"), count + 1
            if type(image) is int and 0 <= image < 10**12:
                images.add(image)
            else:
                strays += 1
        if strays > self.max_bad * count:
            problem = f"an annotation's image_id is no whole number ({strays} of {count} annotations)"
            raise SgtError(f"{archive.path}: {name}", problem, "fetch it again, or allow more in data.max_bad")
        if len(images) < self.spec.images:
            problem = f"{len(images)} images have annotations, {self.spec.images} are wanted"
            raise SgtError(f"{archive.path}: {name}", problem, "request fewer in the study")
        ids = np.array(sorted(images), np.int64)
        order = np.random.default_rng([self.spec.seed, 2017]).permutation(len(ids))
        return ids[order[: self.spec.images]], strays

    def _sample(self, number: int) -> tuple[dict[str, bytes], int]:
        found = self._images.of(number)
        if len(found) != 1 or not isinstance(found[0].get("file_name"), str):
            raise SgtError(self._pictures.path, f"image number {number} is not described once", "fetch it again")
        (described,) = found
        name = (parts_of(described["file_name"]) or [""])[-1]
        where = f"{self._pictures.path}: {name}"
        image = self._pictures.read(name)
        size = checked_image(image, where).stored_size
        if size != (described.get("width"), described.get("height")):
            raise SgtError(where, f"is {size}, not as described", "leave this sample out")
        image_fields = {"image_id": described["id"], "width": size[0], "height": size[1], "file_name": name}
        annotations = checked_annotations(self._annotations.of(number), where)
        record, files = {"image": image_fields, "annotations": annotations}, {"jpg": image}
        if "panoptic" in self.spec.maps:
            map_name, record["segments"] = self._panoptic_of(number, where)
            files["panoptic.png"] = self._panoptic.read(map_name)
        if "stuff" in self.spec.maps:
            files["stuff.png"] = self._stuff.read(f"{name.rpartition('.')[0]}.png")
        return {**files, "json": json.dumps(record, separators=(",", ":")).encode()}, len(annotations)

    def _panoptic_of(self, number: int, where: str) -> tuple[str, list[dict]]:
        """Name of an image's panoptic map, and its segments."""
        found = self._segments.of(number)
        if len(found) != 1 or not isinstance(found[0].get("file_name"), str):
            raise SgtError(where, "its panoptic map is not described once", "leave this sample out")
        return found[0]["file_name"], checked_annotations(found[0].get("segments_info"), f"{where}: panoptic")

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


def _described(category: dict) -> bool:
    return type(category.get("id")) is int and isinstance(category.get("name"), str)


def _spool(
    writer: SpoolWriter, items: Iterable[dict], field: str, place: dict[int, int], convert: Callable[[dict], dict]
) -> None:
    """Write the converted items whose ``field`` is the id of a chosen image."""
    for item in items:
        image = item.get(field)
        if type(image) is int and image in place:
            writer.add(place[image], convert(item), MAX_JSON_BYTES)
