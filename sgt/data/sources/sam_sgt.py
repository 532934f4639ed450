"""SAM-SGT: tars of SA-1B images, each with its annotations.

A tar that already is a shard (image and annotations of each sample are adjacent, and all samples are wanted) is used in
place, through a link. Any other tar (images and annotations apart, damaged samples, samples that are not in the
released list) is copied without the samples that are not used.
"""

import logging
import os
from functools import partial
from pathlib import Path

from sgt.config.datasets import SamSgt
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

    spec: SamSgt

    def prepare(self) -> None:
        """Check that the tars are there, and that the list names images of each."""
        wanted = self._list()
        found: set[str] = set()
        for index in range(self.spec.tars):
            tar = self._tar(index)
            passed_over: list[str] = []
            keys = index_tar(tar, passed_over).keys()
            if not keys:
                problem = f"no .jpg and .json files, but {passed_over[:1] or 'nothing'}"
                raise SgtError(tar, problem, "fetch it again, or another one")
            listed = keys & wanted.entries.keys() if wanted else keys
            if wanted and not listed:
                problem = f"names none of the {len(keys)} images of {tar}"
                example = f"it has e.g. {wanted.example!r}, the tar '{min(keys)}.jpg'"
                raise SgtError(wanted.path, f"{problem} ({example})", "fix it, or remove it to want every image")
            self.record_archive(tar.name, passed_over, not_listed=len(keys) - len(listed))
            found |= listed
        if wanted:
            self._check_list(wanted, found)
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

    def _check_list(self, wanted: ImageList, found: set[str]) -> None:
        """Refuse a list if too many of its images are missing and all tars are used; otherwise log what is missing."""
        missing = [entry for key, entry in wanted.entries.items() if key not in found]
        problem = (
            f"{len(missing)} of the {len(wanted.entries)} images that it names are in none of {self.spec.tars} tars"
        )
        used_all = len(list(self._tar(0).parent.glob("sam_selection-*.tar"))) <= self.spec.tars
        if used_all and len(missing) > self.max_bad * len(wanted.entries):
            example = f"e.g. {missing[0]!r}; the tars have e.g. '{min(found)}.jpg'"
            raise SgtError(wanted.path, f"{problem} ({example})", "fix the list, or allow more in data.max_bad")
        if missing:
            log.info("%s: %s, e.g. %r", wanted.path, problem, missing[0])

    def _tar(self, index: int) -> Path:
        return self.fetched(f"sam_selection/sam_selection-{index + 1:05d}.tar")

    def _list(self) -> ImageList | None:
        """The released list, which is a .txt file, or the one that replaces it; None if there is no list."""
        paths = sorted((self.download / LISTS).glob(f"{LIST}.*"), key=lambda path: (path.suffix != ".txt", path.name))
        return read_image_list(paths[0]) if paths else None


def index_tar(path: Path, passed_over: list[str] | None = None) -> dict[str, list[Member]]:
    """Positions of the files of each sample, by key; folders in the names are ignored.

    Args:
        path: of the tar.
        passed_over: a list that receives the names of files that belong to no sample.

    Raises:
        SgtError: as :func:`sgt.data.shards.scan_shard` does.
    """
    found: dict[str, list[Member]] = {}
    for member in scan_shard(path, passed_over):
        found.setdefault(member.key, []).append(member)
    return found


def _masks_if_shard(tar: Path) -> list[int]:
    """Number of masks of each sample, if every sample can be used in place; otherwise an empty list."""
    try:
        return [_checked(sample)[1] for sample in read_shard(tar)]
    except SgtError:
        return []


def _checked(sample: Sample) -> tuple[dict[str, bytes], int]:
    """The files of a sample, and its number of masks.

    Raises:
        SgtError: it has no readable image, or no annotations.
    """
    checked_image(sample.get("jpg"), f"{sample.shard}: {sample.key}.jpg")
    annotations = sample.json().get("annotations")
    return sample.files, len(checked_annotations(annotations, f"{sample.shard}: {sample.key}.json"))
