"""The interface of a source, which turns a download, or a folder of pictures, into shards."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sgt.config.datasets import ShardedDataset
from sgt.data.names import escaped
from sgt.data.shards import ShardWriter
from sgt.errors import SgtError

EXAMPLES = 5


@dataclass
class ShardReport:
    """Counts for the report of one shard.

    Attributes:
        subsets: number of samples in the shard, by the part of the download that they come from.
        refused: key and reason of each sample that was left out.
        masks: number of annotations.
    """

    subsets: Counter[str] = field(default_factory=Counter)
    refused: list[dict[str, str]] = field(default_factory=list)
    masks: int = 0

    @property
    def count(self) -> int:
        """Number of samples in the shard."""
        return self.subsets.total()

    def add(self, shard: ShardWriter, key: str, subset: str, make: Callable[[], tuple[dict[str, bytes], int]]) -> None:
        """Add the sample that ``make`` returns with its number of masks; an ``SgtError`` is recorded as a refusal."""
        try:
            files, masks = make()
        except SgtError as error:
            self.refused.append({"key": key, "reason": escaped(str(error))})
        else:
            shard.add(key, files)
            self.subsets[subset] += 1
            self.masks += masks


class Source(ABC):
    """A dataset as it was published, turned into shards one at a time, by any number of processes.

    Instances are pickled for other processes, so they hold names and numbers only; ``prepare`` writes its results to
    ``work``.

    Args:
        spec: the dataset of the study.
        download: folder that ``sgt fetch`` filled, or that has the pictures.
        work: temporary folder for this source alone, in that of the shards.
        recorded: the record of ``sgt fetch`` for each file, by name, with its ``size`` in bytes.
        max_bad: share of the wanted samples that may be missing.

    Attributes:
        archives: by archive, which files were skipped, and counts that are specific to the source.
        absent: names of wanted subsets that the download does not have.
    """

    def __init__(
        self, spec: ShardedDataset, download: Path, work: Path, recorded: dict[str, dict], max_bad: float
    ) -> None:
        self.spec, self.download, self.work = spec, download, work
        self.recorded, self.max_bad = recorded, max_bad
        self.archives: dict[str, dict] = {}
        self.absent: list[str] = []

    @abstractmethod
    def prepare(self) -> None:
        """Decide which samples go into which shard.

        Raises:
            SgtError: the download lacks something, is damaged, or has too little.
        """

    @abstractmethod
    def write(self, index: int, path: Path) -> ShardReport:
        """Write one shard.

        Raises:
            SgtError: the download is damaged.
        """

    def fetched(self, name: str) -> Path:
        """Path of a file of the download.

        Raises:
            SgtError: it is missing, or its size is not that of the fetched file.
        """
        path, remedy = self.download / name, f"run `sgt fetch {self.download.name}`"
        if not path.is_file():
            raise SgtError(path, "no such file", remedy)
        size = path.stat().st_size
        if name in self.recorded and self.recorded[name]["size"] != size:
            raise SgtError(path, f"has {size} bytes, {self.recorded[name]['size']} were fetched", remedy)
        return path

    def record_archive(self, archive: str, passed_over: list[str], **counts: int) -> None:
        """Record the files of an archive that are not used, for the report."""
        examples = [escaped(name) for name in passed_over[:EXAMPLES]]
        self.archives[archive] = {**counts, "passed_over": len(passed_over), "examples": examples}


def checked_annotations(annotations: object, where: str) -> list[dict]:
    """``annotations``, if they are a list of objects with an ``id``; the proxies validate the rest.

    Raises:
        SgtError: they are not.
    """
    if not isinstance(annotations, list):
        raise SgtError(where, "no list of annotations", "leave this sample out")
    for place, annotation in enumerate(annotations):
        if not isinstance(annotation, dict) or type(annotation.get("id")) not in (int, str):
            raise SgtError(where, f"annotation {place} is no object with an id", "leave this sample out")
    return annotations
