"""POPE (Li et al. 2023, arXiv 2305.10355): is this thing in the image? Three splits differ in the things that are not.

Random, popular and adversarial ask six questions each about the same 500 images of COCO val2014, half of them about
things that are there, and share most of those questions. Images are the unit of resampling.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

from PIL import Image

from sgt.config.benchmarks import FetchedBenchmark
from sgt.config.fields import Name
from sgt.data.records import ParquetTable, Record
from sgt.evaluation import parsing
from sgt.evaluation.fetched_task import FetchedTask, Protocol, Sample, shown_together, token_limits
from sgt.evaluation.metrics import Metric
from sgt.evaluation.task import Parsed, Row

SPLITS = ("random", "popular", "adversarial")
# In place of 0, so that F1 of such rows alone is 0 and not unknown.
_ALMOST_NOTHING = 1e-12


class PopeRecord(Record):
    """A row of the hub's copy."""

    question_id: str
    question: str
    answer: Literal["yes", "no"]
    category: Literal["random", "popular", "adversarial"]
    image_source: str


def _question(row: Row) -> str:
    return row.question


def _single_word(row: Row) -> str:
    return f"{row.question}\nAnswer the question using a single word or phrase."


PROTOCOLS = {
    "official": Protocol(_question, lambda row, reply: parsing.pope_official(reply), 100),
    # BAGEL's own evaluation, which SGT's is a copy of, asks as LLaVA does.
    "paper": Protocol(_single_word, lambda row, reply: parsing.pope_official(reply), 100),
    "lmms-eval": Protocol(_single_word, lambda row, reply: parsing.exact_yes_no(reply), 128),
    # Without its judge, which is asked about replies that are neither.
    "vlmevalkit": Protocol(_question, lambda row, reply: parsing.vlmevalkit_yes_no(reply), 100),
}


class Pope(FetchedTask):
    """F1 of the answer yes, whose mean over the splits is usually printed, and accuracy."""

    class Options(FetchedBenchmark):
        """Which protocol."""

        token_limits = token_limits(PROTOCOLS)
        published_rows = 9000
        # 2: under lmms-eval, F1 is without replies that are neither yes nor no. 3: otherwise these are no yes, and to
        # vlmevalkit "No,it is" says no.
        scoring_version = 3

        task: Literal["pope"]
        protocol: Literal["official", "paper", "lmms-eval", "vlmevalkit"]
        download: Name = "pope"

    name = "pope"
    explanations: ClassVar[Mapping[str, str]] = {
        **FetchedTask.explanations,
        "twice_true_yes": "F1 of the answer yes, to whether a thing is in the image",
        "said_yes": "share of replies that are read as yes; half of the questions' answers are yes",
        "split": "split (which absent things are asked about)",
    }
    protocols = PROTOCOLS

    def open(self, folders: Sequence[Path]) -> Sequence[Sample]:
        """An image with its questions of all splits."""
        (folder,) = folders
        table = ParquetTable(sorted(folder.rglob("*.parquet")), PopeRecord)
        return shown_together(table, lambda record: record.image_source)

    def row(self, record: PopeRecord, images: Sequence[Image.Image]) -> Row:
        """The id has the split, since questions are numbered in each."""
        return Row(
            id=f"{record.category}-{record.question_id}",
            question=record.question,
            kind="yesno",
            images=images,
            answer=record.answer,
            dimensions={"split": record.category},
            groups={"image": record.image_source},
        )

    def coco_image(self, row: Row) -> str:
        """All are of val2014."""
        return row.groups["image"]

    def score(self, row: Row, parsed: Parsed) -> dict[str, float]:
        """Besides accuracy the two sums whose ratio is F1, and whether the answer is yes.

        A reply without an answer is wrong, and of F1 no yes, as VLMEvalKit counts it. lmms-eval leaves it out of F1,
        and of F1 alone, which is 0 where nothing else is left.
        """
        there, said_yes = row.answer == "yes", parsed.value == "yes"
        left_out = parsed.value is None and self.options.protocol == "lmms-eval"
        return {
            **super().score(row, parsed),
            "twice_true_yes": 2.0 * (there and said_yes),
            "yeses": _ALMOST_NOTHING if left_out else float(there + said_yes),
            "said_yes": float(said_yes),
        }

    def metrics(self, rows: Sequence[Row]) -> list[Metric]:
        """Means over the splits, and of each split."""
        return [
            self._f1("f1", "F1, mean of splits", headline=True),
            Metric("accuracy", "accuracy", "accuracy", cluster="image"),
            self._f1("f1/pooled", "F1, splits pooled", strata=None),
            *(self._f1(f"f1/{split}", f"F1, {split}", where={"split": [split]}, strata=None) for split in SPLITS),
            *(
                Metric(f"accuracy/{split}", f"accuracy, {split}", "accuracy", {"split": [split]}, cluster="image")
                for split in SPLITS
            ),
            Metric("yes_ratio", "share of yes", "said_yes", cluster="image"),
            Metric("unread", "replies without answer", "unread", cluster="image", higher_is_better=False),
        ]

    def _f1(self, name: str, title: str, strata: str | None = "split", headline: bool = False, **chosen) -> Metric:
        abilities = ["perception"] if headline else []
        return Metric(
            name,
            title,
            "twice_true_yes",
            over="yeses",
            strata=strata,
            cluster="image",
            unit="F1",
            headline=headline,
            abilities=abilities,
            **chosen,
        )
