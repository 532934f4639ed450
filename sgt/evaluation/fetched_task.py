"""What published benchmarks share: rows read where they were fetched, and protocols.

A protocol is a named way to ask and to read: ``official`` of whoever published the benchmark, ``paper`` of the study of
SGT as far as it is known, ``lmms-eval`` and ``vlmevalkit`` of the two harnesses. Scores of one checkpoint differ by
protocol more than most methods differ, so a reply is read under every protocol that asks the same question.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image

from sgt.config.benchmarks import FetchedBenchmark
from sgt.data.records import AnyRecord, ImageFiles, ParquetTable
from sgt.errors import SgtError
from sgt.evaluation.task import Parsed, Row, Task
from sgt.models.requests import Reply, Request


@dataclass(frozen=True)
class Protocol:
    """A way to ask and to read.

    Attributes:
        prompt: the text after the images. Protocols that share this function ask the same question.
        read: finds the answer in a reply's text, in the form of the row's own answer.
        max_new_tokens: of a reply; where a harness takes a model's default, that of BAGEL's official evaluation.
    """

    prompt: Callable[[Row], str]
    read: Callable[[Row, str], Parsed]
    max_new_tokens: int


@dataclass(frozen=True)
class Sample:
    """What is shown together, with every record that asks about it.

    Attributes:
        images: decodes them, in the order of the prompt; raises SgtError where one cannot be.
        records: as published; each makes a row.
    """

    images: Callable[[], Sequence[Image.Image]]
    records: Sequence[Any]


def shown_together(table: ParquetTable[AnyRecord], image_of: Callable[[AnyRecord], str]) -> list[Sample]:
    """The records of a table by their image, in the order in which images first occur.

    Args:
        table: whose records each have an image.
        image_of: what tells a record's image from others, such as its name.
    """
    places: dict[str, list[int]] = {}
    for place, record in enumerate(table):
        places.setdefault(image_of(record), []).append(place)
    return [
        Sample(partial(_images, table, of_image[0]), [table[place] for place in of_image])
        for of_image in places.values()
    ]


def _images(table: ParquetTable, place: int) -> list[Image.Image]:
    return [table.image(place)]


def pictures(files: ImageFiles, names: Sequence[str], where: str) -> list[Image.Image]:
    """The images of these names, in order.

    Args:
        files: that have them.
        names: as :meth:`ImageFiles.image` takes them.
        where: file, row and field that name them, for messages.

    Raises:
        SgtError: there is none of a name, or it cannot be decoded.
    """
    try:
        return [files.image(name) for name in names]
    except SgtError as error:
        raise SgtError(where, f"{error.where}: {error.problem}", error.remedy) from None


def token_limits(protocols: Mapping[str, Protocol]) -> dict[str, int]:
    """How many tokens a reply may have, by name of the protocol."""
    return {name: each.max_new_tokens for name, each in protocols.items()}


class FetchedTask(Task[Reply]):
    """A published benchmark, answered in words.

    Attributes:
        protocols: by name.
    """

    options: FetchedBenchmark
    explanations: ClassVar[Mapping[str, str]] = {
        "accuracy": "share of questions whose reply is read as the right answer",
        "unread": "share of replies in which no answer was found; they count as wrong",
    }
    protocols: ClassVar[Mapping[str, Protocol]]

    @abstractmethod
    def open(self, folders: Sequence[Path]) -> Sequence[Sample]:
        """The samples in the fetched folders, each with all records about its images."""

    @abstractmethod
    def row(self, record: Any, images: Sequence[Image.Image]) -> Row:
        """The row of a record."""

    def rows(self, samples: Iterable[Sample]) -> Iterator[Row]:
        """A row per record; those of a sample share its images, which are decoded once."""
        for sample in samples:
            images = sample.images()
            for record in sample.records:
                yield self.row(record, images)

    def request(self, row: Row, protocol: str) -> Request:
        """The images, then the text of the protocol."""
        return Request([*row.images, self.protocols[protocol].prompt(row)], self.options.system)

    def parse(self, row: Row, reply: Reply, protocol: str) -> Parsed:
        """By the rules of the protocol."""
        return self.protocols[protocol].read(row, reply.text)

    def score(self, row: Row, parsed: Parsed) -> dict[str, float]:
        """``accuracy``: 1 if the answer is right; ``unread``: 1 if no answer was found in the reply."""
        return {"accuracy": float(parsed.value == row.answer), "unread": float(parsed.value is None)}

    @property
    def other_protocols(self) -> list[str]:
        """Those that ask what this one's protocol asks."""
        own = self.options.protocol
        prompt = self.protocols[own].prompt
        return [name for name, each in self.protocols.items() if name != own and each.prompt is prompt]

    @property
    def evaluator(self) -> dict[str, Any]:
        """The rules that replies are read by."""
        return {"name": f"rules of protocol {self.options.protocol}"}
