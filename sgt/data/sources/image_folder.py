"""Images in a folder per class, as ImageNet has them: each becomes a sample with one annotation, of the whole image.

The images of a class are the first in one random order of all that its folder has, so that with the same seed fewer are
the beginning of more. Classes take turns, so that the first samples have as many of each.
"""

import json
import re
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from sgt.config.datasets import ImageFolder
from sgt.data.images import checked_image
from sgt.data.names import is_hidden
from sgt.data.shards import IMAGE_SUFFIXES, ShardWriter
from sgt.data.sources.base import ShardReport, Source
from sgt.errors import SgtError

_NOT_IN_KEYS = re.compile(r"[^A-Za-z0-9_-]")
PLAN = "images.json"


class ImageFolderSource(Source):
    """The images of some classes."""

    spec: ImageFolder

    def prepare(self) -> None:
        """Choose the images."""
        chosen = [self._chosen(folder, label) for folder, label in self.spec.folders.items()]
        plan = [image for turn in zip(*chosen, strict=True) for image in turn]
        if len({key for key, *_ in plan}) < len(plan):
            raise SgtError(self.download, "two images have the same name", "rename one of them")
        (self.work / PLAN).write_text(json.dumps(plan))

    def write(self, index: int, path: Path) -> ShardReport:
        """Write the images of one shard."""
        report, first = ShardReport(), index * self.spec.per_shard
        with ShardWriter(path) as shard:
            for key, name, label in self._plan[first : first + self.spec.per_shard]:
                report.add(shard, key, label, partial(self._sample, name, label))
        return report

    def _chosen(self, folder: str, label: str) -> list[tuple[str, str, str]]:
        """Key, file and class of the images of one class."""
        where = self.download / folder
        if not where.is_dir():
            raise SgtError(where, "no such folder", f"put it there, or run `sgt fetch {self.spec.download}`")
        names = sorted(each.name for each in where.iterdir() if each.is_file() and _is_image(each.name))
        if len(names) < self.spec.per_class:
            raise SgtError(where, f"{len(names)} images, {self.spec.per_class} are wanted", "lower per_class")
        order = np.random.default_rng([self.spec.seed, *folder.encode()]).permutation(len(names))
        drawn = [names[number] for number in order[: self.spec.per_class]]
        return [(_key(where.name, name), f"{folder}/{name}", label) for name in drawn]

    def _sample(self, name: str, label: str) -> tuple[dict[str, bytes], int]:
        image = self.fetched(name).read_bytes()
        width, height = checked_image(image, f"{self.download}/{name}").stored_size
        whole = {
            "id": 1,
            "category": label,
            "iscrowd": 0,
            "bbox": [0, 0, width, height],
            "segmentation": {"size": [height, width], "counts": [0, height * width]},
        }
        about = {"width": width, "height": height, "file_name": name}
        record = {"image": about, "annotations": [whole]}
        return {"jpg": image, "json": json.dumps(record, separators=(",", ":")).encode()}, 1

    @cached_property
    def _plan(self) -> list[tuple[str, str, str]]:
        return json.loads((self.work / PLAN).read_text())


def _key(folder: str, name: str) -> str:
    return _NOT_IN_KEYS.sub("-", f"{folder}-{name.rpartition('.')[0]}")


def _is_image(name: str) -> bool:
    return not is_hidden(name) and name.rpartition(".")[2].lower() in IMAGE_SUFFIXES
