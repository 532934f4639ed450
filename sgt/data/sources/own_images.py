"""Pictures of one's own: files in a folder and the folders in it, in a seeded random order.

``pictures.json`` beside the shards has the file behind each key, and its hash.
"""

import json
from functools import partial
from pathlib import Path

from sgt.config.datasets import Images
from sgt.data.images import checked_image
from sgt.data.names import escaped
from sgt.data.picture_hashes import write_picture_hashes
from sgt.data.pictures import PictureFile, drawn_pictures, keys_of, read_picture
from sgt.data.shards import ShardWriter
from sgt.data.sources.base import ShardReport, Source
from sgt.errors import SgtError


class OwnImagesSource(Source):
    """Pictures in a seeded random order, ``per_shard`` in each shard."""

    spec: Images

    def prepare(self) -> None:
        """Choose the pictures, and record the hash of each."""
        files = drawn_pictures(self.download, self.spec.images, self.spec.seed)
        if len(files) < self.spec.images:
            problem = f"{len(files)} pictures are there, {self.spec.images} are wanted"
            raise SgtError(self.download, problem, "request fewer in the study, or add some")
        keys = keys_of(files)
        write_picture_hashes(self.work.parent, zip(files, keys, strict=True))
        chosen = [(file.name, key) for file, key in zip(files, keys, strict=True)]
        (self.work / "chosen.json").write_text(json.dumps(chosen), encoding="utf-8")

    def write(self, index: int, path: Path) -> ShardReport:
        """Write the pictures of one shard, each file as it is."""
        report, first = ShardReport(), index * self.spec.per_shard
        chosen = json.loads((self.work / "chosen.json").read_text(encoding="utf-8"))
        with ShardWriter(path) as shard:
            for name, key in chosen[first : first + self.spec.per_shard]:
                subset = escaped(name.rpartition("/")[0]) or "."
                report.add(shard, key, subset, partial(self._sample, PictureFile(self.download / name, name), key))
        return report

    def _sample(self, file: PictureFile, key: str) -> tuple[dict[str, bytes], int]:
        picture = read_picture(file, key)
        checked_image(picture.image, picture.image_name)
        return picture.files, 0
