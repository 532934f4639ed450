"""What a source of shards is."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sgt.data.shards import ShardWriter
from sgt.errors import SgtError
from sgt.study.datasets import Download


@dataclass
class ShardReport:
    """What became of one shard's samples.

    Attributes:
        count: samples in the shard.
        refused: key and reason of those that are not.
        masks: annotations in all.
    """

    count: int = 0
    refused: list[dict[str, str]] = field(default_factory=list)
    masks: int = 0

    def add(self, shard: ShardWriter, key: str, make: Callable[[], tuple[dict[str, bytes], int]]) -> None:
        """Add the sample that ``make`` makes, with its number of masks, or say why it cannot be made."""
        try:
            files, masks = make()
        except SgtError as error:
            self.refused.append({"key": key, "reason": str(error)})
        else:
            shard.add(key, files)
            self.count += 1
            self.masks += masks


class Source(ABC):
    """A dataset as its publisher packs it, turned into shards one at a time, by any number of processes.

    Instances are sent to other processes, so they hold names and numbers; what ``prepare`` finds out goes to ``work``.

    Args:
        spec: the dataset of the study.
        download: folder that ``sgt fetch`` filled.
        work: folder of this source's own, removed afterwards.
    """

    def __init__(self, spec: Download, download: Path, work: Path) -> None:
        self.spec, self.download, self.work = spec, download, work

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
            SgtError: it is not there.
        """
        path = self.download / name
        if not path.is_file():
            raise SgtError(path, "no such file", f"run `sgt fetch {self.spec.download}`")
        return path
