"""A task of likelihoods, pairs and errors, for the tests: a file like those of sgt/evaluation/tasks."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np

from sgt.config.benchmarks import LikelihoodBenchmark
from sgt.data.images import image_of
from sgt.data.shards import Sample
from sgt.evaluation.metrics import Metric
from sgt.evaluation.task import Parsed, Row, Task
from sgt.models.requests import Likelihood


class Rated(Task[Sequence[Likelihood]]):
    """The likeliest option per token is the answer."""

    class Options(LikelihoodBenchmark):
        """A model that an evaluator might need."""

        needs = "questions"
        scoring_fields = frozenset({"evaluator"})

        task: Literal["rated"]
        evaluator: str | None = None

        @property
        def downloads(self) -> tuple[str, ...]:
            """The evaluator's folder."""
            return (self.evaluator,) if self.evaluator else ()

        def item_texts(self, record: dict, where: str) -> list[str]:
            """The questions."""
            return [question["question"] for question in record["questions"]]

    name = "rated"

    def rows(self, samples: Iterable[Sample]) -> Iterator[Row]:
        """The first two questions of each sample."""
        for sample in samples:
            image = image_of(sample)
            for question in sample.json()["questions"][:2]:
                yield Row(
                    question["id"],
                    question["question"],
                    "mcq",
                    images=[image],
                    options=question["options"],
                    answer=question["answer"],
                    groups={"scene": sample.key},
                )

    def parse(self, row: Row, reply: Sequence[Likelihood], protocol: str) -> Parsed:
        """The option with the greatest likelihood per token."""
        return Parsed([each.logprob / each.tokens for each in reply], "direct")

    def score(self, row: Row, parsed: Parsed) -> dict[str, float]:
        """Whether it is right, and the cross-entropy of the right one, nats per token."""
        right = row.options.index(row.answer)
        return {"right": int(np.argmax(parsed.value) == right), "nats": -parsed.value[right]}

    def metrics(self, rows: Sequence[Row]) -> list[Metric]:
        """Both questions of a scene right, and the cross-entropy, which is better where it is lower."""
        return [
            Metric("pairs", "pairs", "right", aggregation="all", group="scene", cluster="scene", headline=True),
            Metric("nats", "nats", "nats", cluster="scene", range=(0, 50), higher_is_better=False, headline=True),
        ]

    @property
    def evaluator(self) -> dict[str, Any]:
        """None."""
        return {"name": "likelihood per token"}
