"""A judged task for the tests: a file like those of sgt/evaluation/tasks. Its evaluator logs every row it is given."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from sgt.config.benchmarks import ImageBenchmark
from sgt.config.samples import Samples
from sgt.data.images import image_of
from sgt.data.shards import Sample
from sgt.evaluation.metrics import Metric
from sgt.evaluation.task import Evaluator, Judgement, Parsed, Row, SelfCheckFailed, Task


class Brightness(Evaluator):
    """The mean of an image, and of the one that it was made from; it refuses every third row."""

    name = "brightness"

    def __init__(self, threshold: float, replies: Path) -> None:
        self.threshold, self.log = threshold, replies / "log"

    def identity(self) -> dict[str, Any]:
        """The threshold."""
        return {"threshold": self.threshold}

    def prove(self) -> dict[str, Any]:
        """White is bright.

        Raises:
            SelfCheckFailed: not to this one.
        """
        if self.threshold > 1:
            raise SelfCheckFailed("brightness", "white is not bright", "lower the threshold")
        return {"rate": 1.0}

    def judge(self, rows: Sequence[Row], replies: Sequence[Image.Image]) -> list[Judgement]:
        """One line of the log per row; killed where the environment says so."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        records = []
        for row, image in zip(rows, replies, strict=True):
            with open(self.log, "a") as log:
                log.write(f"{row.id} {row.images[0].width}\n")
            if row.id == os.environ.get("KILLED_AT"):
                raise KeyboardInterrupt
            refused = int(row.id[-6:]) % 3 == 0
            records.append(
                {"status": "refused"} if refused else {"status": "ok", "mean": float(np.asarray(image).mean() / 255)}
            )
        return records


class Bright(Task[Judgement]):
    """Is the edited image brighter than the threshold?"""

    class Options(ImageBenchmark):
        """The threshold."""

        edits = True
        judged = True
        needs = "captions"
        judging_fields = frozenset({"threshold"})

        task: Literal["bright"]
        threshold: float | None = None

        @property
        def not_run(self) -> str | None:
            """Without a threshold."""
            return None if self.threshold is not None else "no threshold is given"

        @property
        def judged_together(self) -> bool:
            """Always."""
            return True

        def image_side(self, dataset: Samples | None) -> int:
            """Of scenes."""
            return 32

        def item_texts(self, record: dict, where: str) -> list[str]:
            """The caption."""
            return [record["caption"]]

    name = "bright"

    def rows(self, samples: Iterable[Sample]) -> Iterator[Row]:
        """A row per scene."""
        for sample in samples:
            yield Row(sample.key, sample.json()["caption"], "image", images=[image_of(sample)], size=(32, 32))

    def make_evaluator(self, replies: Path) -> Brightness:
        """With the threshold."""
        return Brightness(self.options.threshold, replies)

    def parse(self, row: Row, reply: Judgement, protocol: str) -> Parsed:
        """The mean."""
        return Parsed(reply.get("mean"), reply["status"])

    def score(self, row: Row, parsed: Parsed) -> dict[str, Any]:
        """None where there is none."""
        return {"bright": parsed.value and float(parsed.value > self.options.threshold), "judged": parsed.status}

    def metrics(self, rows: Sequence[Row]) -> list[Metric]:
        """Over what was judged."""
        return [Metric("bright", "bright", "bright", where={"judged": ["ok"]}, headline=True)]
