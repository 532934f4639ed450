"""What a source of shards is."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sgt.config.datasets import Download
from sgt.data.names import written
from sgt.data.shards import ShardWriter
from sgt.errors import SgtError

EXAMPLES = 5


@dataclass
class ShardReport:
    """What became of one shard's samples.

    Attributes:
        subsets: samples in the shard, by the part of the download that they are from.
        refused: key and reason of those that are not.
        masks: annotations in all.
    """

    subsets: Counter[str] = field(default_factory=Counter)
    refused: list[dict[str, str]] = field(default_factory=list)
    masks: int = 0

    @property
    def count(self) -> int:
        """Samples in the shard."""
        return self.subsets.total()

    def add(self, shard: ShardWriter, key: str, subset: str, make: Callable[[], tuple[dict[str, bytes], int]]) -> None:
        """Add the sample that ``make`` makes, with its number of masks, or say why it cannot be made."""
        try:
            files, masks = make()
        except SgtError as error:
            self.refused.append({"key": key, "reason": written(str(error))})
        else:
            shard.add(key, files)
            self.subsets[subset] += 1
            self.masks += masks


class Source(ABC):
    """A dataset as its publisher packs it, turned into shards one at a time, by any number of processes.

    Instances are sent to other processes, so they hold names and numbers; what ``prepare`` finds out goes to ``work``.

    Args:
        spec: the dataset of the study.
        download: folder that ``sgt fetch`` filled.
        work: folder of this source's own, removed afterwards.
        recorded: what ``sgt fetch`` says of each file, by name: its ``size`` in bytes.
        max_bad: share of what is wanted that may be missing.

    Attributes:
        archives: what was passed over in each archive, and counts of its own kind.
        absent: names of subsets that are wanted, and of which the download has nothing.
    """

    def __init__(self, spec: Download, download: Path, work: Path, recorded: dict[str, dict], max_bad: float) -> None:
        self.spec, self.download, self.work = spec, download, work
        self.recorded, self.max_bad = recorded, max_bad
        self.archives: dict[str, dict] = {}
        self.absent: list[str] = []

    @abstractmethod
    def prepare(self) -> None:
        """Find out what goes into which shard.

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
        """A file of the download.

        Raises:
            SgtError: it is not there, or not as it was fetched.
        """
        path, remedy = self.download / name, f"run `sgt fetch {self.spec.download}`"
        if not path.is_file():
            raise SgtError(path, "no such file", remedy)
        size = path.stat().st_size
        if name in self.recorded and self.recorded[name]["size"] != size:
            raise SgtError(path, f"has {size} bytes, {self.recorded[name]['size']} were fetched", remedy)
        return path

    def tell(self, archive: str, passed_over: list[str], **counts: int) -> None:
        """Note what an archive has that is not used."""
        examples = [written(name) for name in passed_over[:EXAMPLES]]
        self.archives[archive] = {**counts, "passed_over": len(passed_over), "examples": examples}


def checked_annotations(annotations: object, where: str) -> list[dict]:
    """The annotations of an image, each an object with an ``id``; what they say is for the proxies to judge.

    Raises:
        SgtError: they are not.
    """
    if not isinstance(annotations, list):
        raise SgtError(where, "no list of annotations", "leave this sample out")
    for place, annotation in enumerate(annotations):
        if not isinstance(annotation, dict) or type(annotation.get("id")) not in (int, str):
            raise SgtError(where, f"annotation {place} is no object with an id", "leave this sample out")
    return annotations
