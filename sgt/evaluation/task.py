"""What a task is: one benchmark as code.

A task is one file in ``sgt/evaluation/tasks``. It makes rows of a dataset's samples, a request of each row, and scores
of the replies; predicting, scoring and reporting do the rest and know no task.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar

from PIL import Image

from sgt.config.benchmarks import Benchmark
from sgt.data.dataset import open_dataset
from sgt.errors import SgtError
from sgt.evaluation.limit import Samples, limited
from sgt.evaluation.metrics import Metric
from sgt.models.requests import Likelihood, RatedReply, Reply, Request

Kind = Literal["mcq", "yesno", "number", "text", "list", "image"]
# How a value was found in a reply: it is the whole reply, follows a cue such as "the answer is", stands in a text, is
# one of several that were found, or is not there. Below, how judging a row ended: only ``ok`` gives numbers.
Status = Literal[
    "direct", "cue", "text", "ambiguous", "none",
    "ok", "refused", "unparsable", "timeout", "error",
]  # fmt: skip
# What an evaluator records of one row, as JSON, with its ``status``.
Judgement = dict[str, Any]
# Of a task that is answered in words (a RatedReply, if continuations are rated too), of one that only rates
# continuations, and of one whose images are made.
AnyReply = Reply | Sequence[Likelihood] | Image.Image


OneReply = TypeVar("OneReply", Reply, RatedReply, Sequence[Likelihood], Image.Image, Judgement)


@dataclass(frozen=True)
class Row:
    """One item of a benchmark, whatever the benchmark.

    Attributes:
        id: unique in the benchmark. Of an image task it names a file: letters, digits, ``-`` and ``_``.
        question: without options and instruction where the source allows it; of an image task the prompt.
        kind: of the answer.
        images: input of the model, in the order of the prompt. Rows about one image share the object, and follow
            each other, so that a model encodes it once. Prediction files leave them out.
        options: texts of the choices, whose index is their letter; or the continuations to be rated.
        answer: letter, ``yes`` or ``no``, or the canonical text or number; None if there is no one right answer.
        dimensions: named reporting groups, coarse to fine: ``{"source": "COCO", "category": "count"}``.
        groups: named sets of rows that belong together: ``{"scene": …}``, ``{"pair": …}``, ``{"circular": …}``.
        extra: whatever else parsing and scoring need, as JSON.
        size: (width, height) of the image to make, before a model rounds it to what it can make.
        repeat: number of the image among several of one prompt; it is added to the seed.
    """

    id: str
    question: str
    kind: Kind
    images: Sequence[Image.Image] = ()
    options: Sequence[str] | None = None
    answer: str | None = None
    dimensions: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    size: tuple[int, int] | None = None
    repeat: int = 0

    def record(self) -> dict[str, Any]:
        """The row without its images, as JSON; ``Row(**record)`` is that row again."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name != "images"}


@dataclass(frozen=True)
class Parsed:
    """What was read out of a reply.

    Attributes:
        value: the answer, in the form that the task scores; None if there is none.
        status: how it was found. Replies without an answer are scored like all others, and counted.
    """

    value: Any
    status: Status


class SelfCheckFailed(SgtError):
    """An evaluator does not work as it must: nothing is scored with it, and tables and report say why."""


class Evaluator(ABC):
    """What judges predictions before they are scored: a detector, a classifier, a judge behind an endpoint.

    It is made once in a process, and what it loads is loaded when it is used first.

    Attributes:
        name: for score files.
    """

    name: str

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What decides its output, as JSON: hashes of models, versions, thresholds. Nothing is loaded for it.

        Judgements of an interrupted job are only continued by an evaluator with the same identity. Whether finished
        ones are current follows from the benchmark's ``judging_options`` and downloads.
        """

    @abstractmethod
    def prove(self) -> dict[str, Any]:
        """Check on known input that the evaluator works, before anything is judged.

        Returns:
            What was checked and how it went, as JSON, for the score file.

        Raises:
            SelfCheckFailed: it passes less than it must.
            SgtError: it cannot be checked now, such as without a key.
        """

    @abstractmethod
    def judge(self, rows: Sequence[Row], replies: Sequence[Any]) -> Sequence[Judgement]:
        """A record of each row, in order, with its ``status``; a failure is a status and never a number.

        Args:
            rows: from the prediction file; with their images if the benchmark's model edits images.
            replies: what a model made of each, such as an image. They may be of several runs in turn.

        Raises:
            SgtError: nothing can be judged, such as without a valid key.
        """


class Task(ABC, Generic[OneReply]):
    """A benchmark as code.

    A task is made for one benchmark's file, and used from one process at a time. Its base class names the type of its
    replies: ``Task[Reply]``, ``Task[RatedReply]``, ``Task[Sequence[Likelihood]]`` or ``Task[Image.Image]``; of a judged
    task, ``Task[Judgement]``.

    Attributes:
        name: what a benchmark's file calls it: its own file's name, with dashes.
        chance_definition: how :meth:`chance` guesses, in a sentence for the report; empty if it does not.
        redistributable: whether the licence of the data lets rows be passed on. Where it does not, neither their texts
            nor their images may enter a score file, a report, or anything else that is handed around.
        explanations: what a mean of each column is, by the column's name, in a phrase for the report; of a ratio by the
            names of both columns (``column/over``), if it needs one of its own; of a column that metrics select rows or
            strata by, what it is.
        options: what was chosen.
    """

    class Options(Benchmark):
        """What a benchmark's file may choose.

        Each task derives it from :class:`~sgt.config.benchmarks.AnswerBenchmark`, ``RatedAnswerBenchmark``,
        ``LikelihoodBenchmark`` or ``ImageBenchmark``, which decides what the model is called for.
        """

    name: ClassVar[str]
    chance_definition: ClassVar[str] = ""
    redistributable: ClassVar[bool] = True
    explanations: ClassVar[Mapping[str, str]] = {}

    def __init__(self, options: Benchmark) -> None:
        self.options = options

    def samples(self, folders: Sequence[Path]) -> Samples:
        """What the rows are made of: :meth:`open`, or as many of it as the benchmark takes, by :meth:`parts`."""
        found, count = self.open(folders), self.options.samples
        return limited(found, None if count is None else self.parts(found), count)

    def open(self, folders: Sequence[Path]) -> Samples:
        """All that rows are made of, in order, each a sample: by default those of a dataset's shards.

        Args:
            folders: of the dataset; of a fetched benchmark, of each of its ``data_downloads``.

        Raises:
            SgtError: something is missing or not as it must be.
        """
        return open_dataset(folders[0])

    def parts(self, samples: Any) -> Sequence[str] | None:
        """The part of the benchmark that each sample is of, such as its category.

        Of each, a limit takes its share. Files of published benchmarks are often sorted, so that the first hundred
        samples would be of one category. By default None: there are no parts, or any beginning has them all.
        """
        return None

    @abstractmethod
    def rows(self, samples: Iterable[Any]) -> Iterator[Row]:
        """The rows of some samples, in order. It is called for a few samples at a time.

        Raises:
            SgtError: a sample lacks what the task reads.
        """

    def request(self, row: Row, protocol: str) -> Request:
        """What the model is given: by default the images, then the question."""
        return Request([*row.images, row.question], self.options.system)

    def continuations(self, row: Row, protocol: str) -> Sequence[str]:
        """Of a task that rates continuations, the texts to be rated: by default the options."""
        return row.options or ()

    @abstractmethod
    def parse(self, row: Row, reply: OneReply, protocol: str) -> Parsed:
        """Read the answer out of a reply.

        Args:
            row: from the prediction file, so without images.
            reply: a :class:`~sgt.models.requests.Reply`, with the likelihood of each continuation a ``RatedReply``; of
                a likelihood task one ``Likelihood`` per continuation; of an image task the image; of a judged task what
                the evaluator recorded of the row.
            protocol: whose rules are used.

        Raises:
            SgtError: an evaluator does not work as it must.
        """

    @abstractmethod
    def score(self, row: Row, parsed: Parsed) -> dict[str, float]:
        """Values of one row by column; the same columns for every row."""

    def joint_columns(self, rows: Sequence[Row], items: Mapping[str, Sequence[Any]]) -> Mapping[str, list]:
        """Columns that depend on several rows' values, such as whether the row that another builds on is right.

        Args:
            rows: all of them.
            items: their ids, dimensions, groups and values of :meth:`score`, by column; all as long as ``rows``.

        Returns:
            Further columns, each as long as ``rows``; none by default.
        """
        return {}

    def coco_image(self, row: Row) -> str | None:
        """Name of the row's image in COCO, of any edition; None if it is none of COCO's."""
        return None

    def chance(self, rows: Sequence[Row]) -> Sequence[float] | None:
        """What guessing without the image would get of each row: the column ``chance``; None if that is not known."""
        return None

    @abstractmethod
    def metrics(self, rows: Sequence[Row]) -> Sequence[Metric]:
        """The metrics, in the order of the tables. Those without items are left out."""

    @property
    def other_protocols(self) -> Sequence[str]:
        """Protocols that ask what this one's asks, so that the same replies are also read by their rules."""
        return ()

    def make_evaluator(self, replies: Path) -> Evaluator:
        """Of a judged task, whose ``Options`` have ``judged``: what judges predictions.

        Args:
            replies: folder in which it may keep what is not to be computed or paid twice, of all runs and benchmarks.
        """
        raise NotImplementedError(f"task {self.name} has no evaluator")

    @property
    def evaluator(self) -> dict[str, Any]:
        """What read the replies, for the score file: its ``name``, and after scoring how its self-check went.

        Of a judged task the record of the evaluator is taken in its place.
        """
        raise NotImplementedError(f"task {self.name} does not name its evaluator")
