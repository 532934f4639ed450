"""SAM-SGT: tars of SA-1B images, each with its annotations.

A tar that already is a shard (image and annotations of each sample beside one another, all of them wanted) is used
where it lies, through a link. Any other (folders in its names, images and annotations apart, samples that the released
list leaves out) is copied without them.
"""

import os
import re
import tarfile
from functools import partial
from pathlib import Path

from sgt.data.images import checked_image
from sgt.data.shards import MAX_MEMBER_BYTES, Member, Sample, ShardWriter, read_sample, read_shard
from sgt.data.sources.base import ShardReport, Source
from sgt.errors import SgtError

LIST = "file_names/sam_190k_new.txt"
_FOLDER = re.compile(r"[A-Za-z0-9_-]+")
_NAME = re.compile(r"(?P<key>[A-Za-z0-9_-]+)\.(?P<extension>jpg|json)")


class SamSgtSource(Source):
    """One shard per tar."""

    def prepare(self) -> None:
        """See that the tars are there."""
        for index in range(self.spec.tars):
            self._tar(index)

    def write(self, index: int, path: Path) -> ShardReport:
        """Link or copy one tar."""
        tar, wanted, report = self._tar(index), self._listed(), ShardReport()
        members = index_tar(tar)
        if (wanted is None or wanted >= members.keys()) and (masks := _masks_if_shard(tar)):
            report.count, report.masks = len(masks), sum(masks)
            link = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            link.unlink(missing_ok=True)
            link.symlink_to(os.path.relpath(tar.resolve(), path.parent.resolve()))
            os.replace(link, path)
            return report
        with ShardWriter(path) as shard:
            for key, parts in members.items():
                if wanted is None or key in wanted:
                    report.add(shard, key, partial(_checked, read_sample(tar, key, parts)))
        return report

    def _tar(self, index: int) -> Path:
        return self.fetched(f"sam_selection/sam_selection-{index + 1:05d}.tar")

    def _listed(self) -> set[str] | None:
        """The keys that the released list names; None if it was not fetched."""
        path = self.download / LIST
        if not path.exists():
            return None
        with open(path, encoding="utf-8", errors="replace") as lines:
            return {line.strip().rsplit("/", 1)[-1].removesuffix(".jpg") for line in lines if line.strip()}


def index_tar(path: Path) -> dict[str, list[Member]]:
    """Where the images and annotations of each sample lie, by key, whatever folders their names are in.

    Raises:
        SgtError: the tar is damaged, or holds anything but files of these two kinds and folders.
    """
    found: dict[str, list[Member]] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                where = f"{path}: {member.name!r}"
                *folders, name = member.name.removeprefix("./").rstrip("/").split("/")
                match = _NAME.fullmatch(name)
                if member.isdir() and all(_FOLDER.fullmatch(each) for each in (*folders, name) if each != "."):
                    continue
                if not member.isreg() or not match or not all(_FOLDER.fullmatch(each) for each in folders):
                    raise SgtError(where, "not a plain .jpg or .json file", "do not use this archive")
                if member.size > MAX_MEMBER_BYTES:
                    raise SgtError(where, f"{member.size} bytes is too large", "do not use this archive")
                parts = found.setdefault(match["key"], [])
                if any(part.extension == match["extension"] for part in parts):
                    raise SgtError(where, "is there twice", "do not use this archive")
                parts.append(Member(match["key"], match["extension"], member.offset_data, member.size))
            tar.fileobj.seek(tar.offset)
            if tar.fileobj.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
                raise SgtError(path, "truncated or damaged", "fetch it again")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise SgtError(path, f"truncated or not a tar ({error})", "fetch it again") from None
    return found


def _masks_if_shard(tar: Path) -> list[int]:
    """How many masks each sample has, if every sample can be used as it lies there; otherwise nothing."""
    try:
        return [_checked(sample)[1] for sample in read_shard(tar)]
    except SgtError:
        return []


def _checked(sample: Sample) -> tuple[dict[str, bytes], int]:
    """The files of a sample, and how many masks it has.

    Raises:
        SgtError: it has no image that can be read, or no annotations.
    """
    checked_image(sample.get("jpg"), f"{sample.shard}: {sample.key}.jpg")
    annotations = sample.json().get("annotations")
    if not isinstance(annotations, list):
        raise SgtError(f"{sample.shard}: {sample.key}.json", "no list of annotations", "leave this sample out")
    return sample.files, len(annotations)
