"""MMVP (Tong et al. 2024, arXiv 2401.06209): pairs of images that look alike to CLIP, with one question for both.

The right answers of a pair differ, so that what a model prefers to answer gets half of the questions right and no pair.
Two of the 150 pairs were published with their labels swapped. Scores are given under the labels as published and under
the corrected ones, whichever of them a copy has.
"""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

from PIL import Image
from pydantic import AliasChoices, Field, field_validator

from sgt.config.benchmarks import FetchedBenchmark
from sgt.config.fields import Name
from sgt.data.records import REMEDY, ImageFiles, Record, checked, read_rows
from sgt.errors import SgtError
from sgt.evaluation import parsing
from sgt.evaluation.fetched_task import FetchedTask, Protocol, Sample, token_limits
from sgt.evaluation.metrics import Metric
from sgt.evaluation.task import Parsed, Row

# By number of the question: https://github.com/tsb0601/MMVP/issues/30.
CORRECTED = {99: "B", 100: "A", 279: "B", 280: "A"}
OTHER = {"A": "B", "B": "A"}


class MmvpRecord(Record):
    """A row of ``Questions.csv``. One published version spells its first column with a small L."""

    index: int = Field(validation_alias=AliasChoices("Index", "lndex"), ge=1)
    question: str = Field(validation_alias="Question")
    options: str = Field(validation_alias="Options")
    answer: Literal["(a)", "(b)"] = Field(validation_alias="Correct Answer")

    @field_validator("options")
    @classmethod
    def _two(cls, options: str) -> str:
        texts = _texts(options)
        if len(texts) != 2 or not all(texts):
            raise ValueError(f"{options!r} is not (a) … (b) …")
        return options

    @property
    def pair(self) -> int:
        """From 1."""
        return (self.index + 1) // 2

    @property
    def corrected(self) -> str:
        """The letter of the right answer."""
        return CORRECTED.get(self.index, self.answer[1].upper())

    @property
    def as_published(self) -> str:
        """The letter that was first published, in a corrected copy, too."""
        return OTHER[self.corrected] if self.index in CORRECTED else self.corrected


def _texts(options: str) -> list[str]:
    return [text.replace("(a)", "").strip() for text in options.split("(b)")]


def _lettered(row: Row) -> str:
    return "\n".join(f"{letter}. {option}" for letter, option in zip("AB", row.options or (), strict=True))


def _with_raw_options(row: Row) -> str:
    return f"{row.question} {row.extra['options']}"


def _letter_directly(row: Row) -> str:
    return f"{row.question}\n{_lettered(row)}\nAnswer with the option's letter from the given choices directly."


def _options_directly(row: Row) -> str:
    instruction = "Answer with the option's letter from the given choices directly."
    return f"{row.question} Options:\n{_lettered(row)}\n{instruction}"


def _please_select(row: Row) -> str:
    instruction = "Please select the correct answer from the options above. \n"
    return f"Question: {row.question}\nOptions:\n{_lettered(row)}\n{instruction}"


def _by_a_judge(row: Row, reply: str) -> Parsed:
    return Parsed(None, "none")


def _lmms(row: Row, reply: str) -> Parsed:
    """A or B alone or at the start, then after "answer is" or "option", then any a or b that ends a word, in any case.

    So "a mat" is A, and so is "Banana"; "the answer is black" is B.
    """
    text = reply.strip().lower()
    if match := re.fullmatch(r"\(?([ab])\)?\.?", text):
        return Parsed(match[1].upper(), "direct")
    if match := re.match(r"\(?([ab])\)?[.\s]", text):
        return Parsed(match[1].upper(), "text")
    if match := re.search(r"answer\s+is\s+\(?([ab])", text) or re.search(r"option\s+\(?([ab])", text):
        return Parsed(match[1].upper(), "cue")
    if match := re.search(r"([ab])\)?(?:\s|$)", text) or re.match(r"([ab])", text):
        return Parsed(match[1].upper(), "text")
    return Parsed(None, "none")


def _cambrian(row: Row, reply: str) -> Parsed:
    """What is left of the reply must be the letter or the text of an option, in any case."""
    said = parsing.cambrian(reply)
    texts = [option.lower() for option in row.options or ()]
    letters = [letter for letter, text in zip("AB", texts, strict=True) if said.value in (letter.lower(), text)]
    return parsing.found(letters[0] if letters else None, said.status)


PROTOCOLS = {
    # Whether a reply is right was asked of GPT-4, which is not called here: no reply is read. Replies were drawn at
    # temperature 0.2; here they are the most likely ones, unless the benchmark's file says otherwise.
    "official": Protocol(_with_raw_options, _by_a_judge, 1024),
    # BAGEL's own evaluation, which SGT's is a copy of. It prints the accuracy of pairs; the study printed that of
    # questions.
    "paper": Protocol(_letter_directly, lambda row, reply: parsing.bagel_letter(reply, row.options or ()), 100),
    "cambrian": Protocol(_options_directly, _cambrian, 512),
    # Under corrected labels.
    "lmms-eval": Protocol(_letter_directly, _lmms, 16),
    # Without its judge, which is asked about replies that its rules do not read. Which labels it has is not verified.
    "vlmevalkit": Protocol(_please_select, lambda row, reply: parsing.vlmevalkit_letter(reply, row.options or ()), 100),
}


class Mmvp(FetchedTask):
    """Accuracy of questions, and of pairs, where both are right: what its authors print.

    The number ``samples`` of a benchmark's file counts pairs.
    """

    class Options(FetchedBenchmark):
        """Which protocol."""

        token_limits = token_limits(PROTOCOLS)
        published_rows = 300
        # 2: a letter of vlmevalkit is where it first stands.
        scoring_version = 2

        task: Literal["mmvp"]
        protocol: Literal["official", "paper", "cambrian", "lmms-eval", "vlmevalkit"]
        download: Name = "mmvp"

    name = "mmvp"
    explanations: ClassVar[Mapping[str, str]] = {
        **FetchedTask.explanations,
        "corrected": "share of questions whose reply is right, under labels with two swapped pairs corrected",
    }
    protocols = PROTOCOLS

    def open(self, folders: Sequence[Path]) -> Sequence[Sample]:
        """A pair each.

        Raises:
            SgtError: two rows that must be a pair are none.
        """
        (folder,) = folders
        path = folder / "Questions.csv"
        files = ImageFiles(folder)
        pairs: dict[int, list[MmvpRecord]] = {}
        for number, row in enumerate(read_rows(path, ["Question", "Options", "Correct Answer"])):
            record = checked(MmvpRecord, row, f"{path}: row {number}")
            pairs.setdefault(record.pair, []).append(record)
        for pair, records in pairs.items():
            if problem := _is_no_pair(pair, records):
                raise SgtError(f"{path}: pair {pair}", problem, REMEDY)
        return [
            Sample(partial(_images, files, pair), sorted(records, key=lambda record: record.index))
            for pair, records in pairs.items()
        ]

    def row(self, record: MmvpRecord, images: Sequence[Image.Image]) -> Row:
        """Of the images of the pair it has its own. The answer is that of the labels as published."""
        return Row(
            id=str(record.index),
            question=record.question,
            kind="mcq",
            images=[images[(record.index - 1) % 2]],
            options=_texts(record.options),
            answer=record.as_published,
            groups={"pair": str(record.pair)},
            extra={"options": record.options, "corrected": record.corrected},
        )

    def score(self, row: Row, parsed: Parsed) -> dict[str, float]:
        """Besides accuracy under the labels as published that under corrected ones."""
        return {**super().score(row, parsed), "corrected": float(parsed.value == row.extra["corrected"])}

    def metrics(self, rows: Sequence[Row]) -> list[Metric]:
        """Questions and pairs under both labels. Pairs are the unit of resampling."""
        return [
            Metric("accuracy", "accuracy", "accuracy", cluster="pair", headline=True, abilities=["perception"]),
            _pairs("pairs", "accuracy of pairs", "accuracy"),
            Metric("accuracy/corrected", "accuracy, corrected labels", "corrected", cluster="pair"),
            _pairs("pairs/corrected", "accuracy of pairs, corrected labels", "corrected"),
            Metric("unread", "replies without answer", "unread", cluster="pair", higher_is_better=False),
        ]


def _images(files: ImageFiles, pair: int) -> list[Image.Image]:
    return [files.image(f"MMVP Images/{number}.jpg") for number in (2 * pair - 1, 2 * pair)]


def _pairs(name: str, title: str, column: str) -> Metric:
    return Metric(name, title, column, aggregation="all", group="pair", cluster="pair")


def _is_no_pair(pair: int, records: Sequence[MmvpRecord]) -> str | None:
    """What is wrong with the records of a pair."""
    numbers = [record.index for record in records]
    if sorted(numbers) != [2 * pair - 1, 2 * pair]:
        return f"it has the questions {numbers}, not {2 * pair - 1} and {2 * pair}"
    first, second = records
    if first.question.split() != second.question.split() or first.corrected == second.corrected:
        return "its questions differ, or their answers do not"
    return None
