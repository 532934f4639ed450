"""What benchmarks share whose images a judge rates: from the judge's record of a row to columns and metrics.

A row that the judge refused, could not be read about or did not answer has no value: metrics are over the others, and
the share of each way to fail stands beside them. With several repeats a column is the mean over them, and
``COLUMN@1``, ``COLUMN@2``, … are those of each, from which intervals take the judge's own spread.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image

from sgt.config.judges import JudgedImageBenchmark
from sgt.evaluation.evaluators.judge_calls import Call
from sgt.evaluation.metrics import Metric, repeated
from sgt.evaluation.task import Evaluator, Judgement, Parsed, Row, Task

FAILURES = {
    "refused": "refused by the judge",
    "unparsable": "with an unreadable reply",
    "timeout": "without a reply in time",
    "error": "without a reply because of an error",
}
# Of a metric, the rows that the judge rated.
RATED = {"judged": ["ok"]}


class JudgedImageTask(Task[Judgement]):
    """A published benchmark of images that a judge rates.

    Attributes:
        columns: names of what :meth:`values` gives.
        cluster: the unit of resampling.
    """

    options: JudgedImageBenchmark
    explanations: ClassVar[Mapping[str, str]] = {
        name: f"share of images {text}; they have no score" for name, text in FAILURES.items()
    }
    columns: ClassVar[tuple[str, ...]]
    cluster: ClassVar[str] = "id"

    @abstractmethod
    def calls(self, row: Row, image: Image.Image) -> Sequence[Call]:
        """The questions to the judge about one image, in order.

        Args:
            row: with its images if they are edited.
            image: that a model made.
        """

    @abstractmethod
    def read(self, row: Row, number: int, text: str) -> Any:
        """What the reply to one question says, as JSON; None if it cannot be read."""

    @abstractmethod
    def values(self, row: Row, read: Sequence[Any]) -> dict[str, float]:
        """The columns of a row, from what was read of the replies to its questions, in order."""

    def make_evaluator(self, replies: Path) -> Evaluator:
        """The judge of the benchmark's file or of the study."""
        # Only judging needs it, and it imports an HTTP client.
        from sgt.evaluation.evaluators.vision_judge import VisionJudge

        if self.options.judge is None:
            raise ValueError(f"benchmark {self.options.name} has no judge")
        return VisionJudge(self, self.options.judge, replies, pairs=self.options.edits)

    def parse(self, row: Row, reply: Judgement, protocol: str) -> Parsed:
        """The values that were read, by repeat and question; none unless all were."""
        if reply["status"] != "ok":
            return Parsed(None, reply["status"])
        return Parsed([[call["value"] for call in each["calls"]] for each in reply["repeats"]], "ok")

    def score(self, row: Row, parsed: Parsed) -> dict[str, Any]:
        """Each column over all repeats and by repeat; without a value in a row that was not rated."""
        repeats = self.options.judge.repeats if self.options.judge else 1
        of_each = [self.values(row, read) for read in parsed.value] if parsed.status == "ok" else [{}] * repeats
        scored: dict[str, Any] = {}
        for column in self.columns:
            found = [values.get(column) for values in of_each]
            known = [value for value in found if value is not None]
            scored[column] = sum(known) / len(known) if len(known) == len(found) else None
            if repeats > 1:
                scored |= {repeated(column, number): value for number, value in enumerate(found, start=1)}
        return {**scored, "judged": parsed.status, **{name: float(parsed.status == name) for name in FAILURES}}

    def failures(self) -> list[Metric]:
        """The share of images that have no score, by why."""
        return [
            Metric(name, f"images {text}", name, cluster=self.cluster, unit="share of images", higher_is_better=False)
            for name, text in FAILURES.items()
        ]
