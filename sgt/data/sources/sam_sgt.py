"""SAM-SGT: tars of SA-1B images, each with its annotations.

A tar that already is a shard (image and annotations of each sample beside one another, all of them wanted) is used
where it lies, through a link. Any other (images and annotations apart, samples that are bad or that the released list
leaves out) is copied without them.
"""

import logging
import os
from functools import partial
from pathlib import Path

from sgt.data.images import checked_image
from sgt.data.shards import Member, Sample, ShardWriter, read_sample, read_shard, scan_shard
from sgt.data.sources.base import ShardReport, Source, checked_annotations
from sgt.data.sources.image_lists import ImageList, read_image_list
from sgt.errors import SgtError

log = logging.getLogger("sgt")

LISTS = "file_names"
LIST = "sam_190k_new"


class SamSgtSource(Source):
    """One shard per tar."""

    def prepare(self) -> None:
        """See that the tars are there, and that the list names images of each."""
        wanted, found = self._list(), set()
        for index in range(self.spec.tars):
            tar, passed_over = self._tar(index), []
            keys = index_tar(tar, passed_over).keys()
            if not keys:
                told = f"no .jpg and .json files, but {passed_over[:1] or 'nothing'}"
                raise SgtError(tar, told, "fetch it again, or another one")
            listed = keys & wanted.entries.keys() if wanted else keys
            if not listed:
                told = f"names none of the {len(keys)} images of {tar}"
                example = f"it has e.g. {wanted.example!r}, the tar '{min(keys)}.jpg'"
                raise SgtError(wanted.path, f"{told} ({example})", "mend it, or remove it to want every image")
            self.tell(tar.name, passed_over, not_listed=len(keys) - len(listed))
            found |= listed
        if wanted:
            self._judge(wanted, found)
        else:
            log.info("%s: no %s.txt, so every image is wanted", self.download / LISTS, LIST)

    def write(self, index: int, path: Path) -> ShardReport:
        """Link or copy one tar."""
        tar, wanted, report = self._tar(index), self._list(), ShardReport()
        members = index_tar(tar)
        listed = members.keys() & wanted.entries.keys() if wanted else members.keys()
        if listed == members.keys() and len(masks := _masks_if_shard(tar)) == len(members):
            report.subsets[tar.name], report.masks = len(masks), sum(masks)
            link = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            link.unlink(missing_ok=True)
            link.symlink_to(os.path.relpath(tar.resolve(), path.parent.resolve()))
            os.replace(link, path)
            return report
        with ShardWriter(path) as shard:
            for key, parts in members.items():
                if key in listed:
                    report.add(shard, key, tar.name, partial(_checked, read_sample(tar, key, parts)))
        return report

    def _judge(self, wanted: ImageList, found: set[str]) -> None:
        """Refuse a list of which too much is nowhere; where only some of the tars are used, the rest may have it."""
        missing = [entry for key, entry in wanted.entries.items() if key not in found]
        told = f"{len(missing)} of the {len(wanted.entries)} images that it names are in none of {self.spec.tars} tars"
        used_all = len(list(self._tar(0).parent.glob("sam_selection-*.tar"))) <= self.spec.tars
        if used_all and len(missing) > self.max_bad * len(wanted.entries):
            example = f"e.g. {missing[0]!r}; the tars have e.g. '{min(found)}.jpg'"
            raise SgtError(wanted.path, f"{told} ({example})", "mend the list, or allow more in data.max_bad")
        if missing:
            log.info("%s: %s, e.g. %r", wanted.path, told, missing[0])

    def _tar(self, index: int) -> Path:
        return self.fetched(f"sam_selection/sam_selection-{index + 1:05d}.tar")

    def _list(self) -> ImageList | None:
        """The images that the released list names, which is a .txt file, or what replaces it; None without one."""
        paths = sorted((self.download / LISTS).glob(f"{LIST}.*"), key=lambda path: (path.suffix != ".txt", path.name))
        return read_image_list(paths[0]) if paths else None


def index_tar(path: Path, passed_over: list[str] | None = None) -> dict[str, list[Member]]:
    """Where the images and annotations of each sample lie, by key, whatever folders their names are in.

    Args:
        path: of the tar.
        passed_over: is given the names of files that belong to no sample.

    Raises:
        SgtError: as :func:`sgt.data.shards.scan_shard` does.
    """
    found: dict[str, list[Member]] = {}
    for member in scan_shard(path, passed_over):
        found.setdefault(member.key, []).append(member)
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
    return sample.files, len(checked_annotations(annotations, f"{sample.shard}: {sample.key}.json"))
