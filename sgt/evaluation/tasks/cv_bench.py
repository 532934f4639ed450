"""CV-Bench (Tong et al. 2024, Cambrian-1, arXiv 2406.16860): multiple choice about what and where things are.

Counts and relations in 2D are asked about images of ADE20K and COCO, order and distance in depth about Omni3D's. Rows
have prompts ready to use; many name boxes that are drawn in the image, so each row has an image of its own.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

from PIL import Image
from pydantic import ValidationInfo, field_validator

from sgt.config.benchmarks import FetchedBenchmark
from sgt.config.fields import Name
from sgt.data.records import REMEDY, ParquetTable, Record
from sgt.errors import SgtError
from sgt.evaluation import parsing
from sgt.evaluation.fetched_task import FetchedTask, Protocol, Sample, shown_together, token_limits
from sgt.evaluation.metrics import Metric
from sgt.evaluation.task import Parsed, Row, Status

# Of the whole benchmark: half of it is 2D, of which each source is half, and half is 3D.
WEIGHTS = {"ADE20K": 0.25, "COCO": 0.25, "Omni3D": 0.5}
TASKS = ("Count", "Relation", "Depth", "Distance")


class CvBenchRecord(Record):
    """A row of the hub's parquet files. The answer is checked, and kept as its letter."""

    idx: str
    type: Literal["2D", "3D"]
    task: Literal["Count", "Relation", "Depth", "Distance"]
    question: str
    choices: list[str]
    answer: str
    prompt: str
    filename: str
    source: Literal["ADE20K", "COCO", "Omni3D"]
    source_dataset: str | None
    source_filename: str | None

    @field_validator("answer")
    @classmethod
    def _letter_of_a_choice(cls, answer: str, info: ValidationInfo) -> str:
        count = len(info.data.get("choices", ()))
        if not re.fullmatch(r"\([A-Z]\)", answer) or answer[1] not in parsing.LETTERS[:count]:
            raise ValueError(f"{answer!r} is the letter of none of the {count} choices")
        return answer[1]

    @field_validator("prompt")
    @classmethod
    def _has_the_choices(cls, prompt: str, info: ValidationInfo) -> str:
        count = len(info.data.get("choices", ()))
        if missing := [letter for letter in parsing.LETTERS[:count] if f"({letter})" not in prompt]:
            raise ValueError(f"it lacks choice ({missing[0]}) of {count}")
        return prompt


def _as_published(row: Row) -> str:
    return row.extra["prompt"]


def _letter_directly(row: Row) -> str:
    return f"{row.extra['prompt']}\nAnswer with the option's letter from the given choices directly."


def _only_a_letter(row: Row) -> str:
    letters = ", ".join(parsing.LETTERS[: len(row.options or ())])
    note = f"Note: You only need to respond with {letters} without providing any additional information."
    return f"{note}\n\n{row.extra['prompt']}"


def _official(row: Row, reply: str) -> Parsed:
    """The first character of what Cambrian's scripts take for the answer, as a letter in either case.

    So the first letter of a word that is no option counts, and "The answer is: A" has none.
    """
    said = parsing.cambrian(reply)
    status: Status = "text" if said.status == "direct" and said.value[1:] else said.status
    return _if_option(row, said.value[:1].upper(), status)


def _lmms(row: Row, reply: str) -> Parsed:
    """The letter that a reply begins with, in either case, after brackets and blanks: "below" is B."""
    match = re.match(r"[(\s]*([A-Za-z])", reply.strip())
    letter = match[1].upper() if match else ""
    return _if_option(row, letter, "direct" if reply.strip(" ().\n").upper() == letter else "text")


def _if_option(row: Row, letter: str, status: Status) -> Parsed:
    """A letter that is none of the options is wrong to the harnesses; here it is also counted as no answer."""
    return parsing.found(letter if letter and letter in parsing.LETTERS[: len(row.options or ())] else None, status)


PROTOCOLS = {
    "official": Protocol(_letter_directly, _official, 512),
    # No script of the study of SGT is known. Asked as Cambrian asks, which is also how BAGEL's evaluation asks other
    # multiple choice and has 100 tokens for it; read by our own rule.
    "paper": Protocol(_letter_directly, lambda row, reply: parsing.letter(reply, row.options or ()), 100),
    "lmms-eval": Protocol(_only_a_letter, _lmms, 1024),
    # Without its judge, which is asked about replies that its rules do not read.
    "vlmevalkit": Protocol(_as_published, lambda row, reply: parsing.vlmevalkit_letter(reply, row.options or ()), 100),
}


class CvBench(FetchedTask):
    """Accuracy as its authors sum it up, half 2D, of which half each source, and half 3D; and of all rows alike.

    lmms-eval prints the accuracy of all rows alike, VLMEvalKit 2D and 3D apart.
    """

    class Options(FetchedBenchmark):
        """Which protocol."""

        token_limits = token_limits(PROTOCOLS)
        published_rows = 2638
        # 2: an article is no letter, and one of vlmevalkit is where it first stands.
        scoring_version = 2

        task: Literal["cv-bench"]
        protocol: Literal["official", "paper", "lmms-eval", "vlmevalkit"]
        download: Name = "cv-bench"

    name = "cv-bench"
    explanations: ClassVar[Mapping[str, str]] = {
        **FetchedTask.explanations,
        "source": "source of the image",
        "type": "type of question",
    }
    protocols = PROTOCOLS

    def open(self, folders: Sequence[Path]) -> Sequence[Sample]:
        """A row with its image each.

        Raises:
            SgtError: a row is there twice, as where the files of two revisions lie beside each other.
        """
        (folder,) = folders
        table = ParquetTable(sorted(folder.rglob("*.parquet")), CvBenchRecord)
        samples = shown_together(table, lambda record: f"{record.type} {record.idx}")
        for sample in samples:
            if len(sample.records) > 1:
                problem = f"several rows of type {sample.records[0].type} have the idx {sample.records[0].idx}"
                raise SgtError(folder, problem, REMEDY)
        return samples

    def parts(self, samples: Sequence[Sample]) -> list[str]:
        """The sources and tasks. As published, all of 2D comes before 3D, and one value sums both up."""
        return [f"{sample.records[0].source} {sample.records[0].task}" for sample in samples]

    def row(self, record: CvBenchRecord, images: Sequence[Image.Image]) -> Row:
        """Rows whose images were made of the same one are a group; without its name, the row is one of its own."""
        original = record.source_filename or record.filename
        return Row(
            id=f"{record.type}-{record.idx}",
            question=record.question,
            kind="mcq",
            images=images,
            options=record.choices,
            answer=record.answer,
            dimensions={"type": record.type, "source": record.source, "task": record.task},
            groups={"image": f"{record.source_dataset or record.source}/{original}"},
            extra={"prompt": record.prompt},
        )

    def coco_image(self, row: Row) -> str | None:
        """Some are."""
        return row.groups["image"] if row.dimensions["source"] == "COCO" else None

    def metrics(self, rows: Sequence[Row]) -> list[Metric]:
        """The weighted mean, that of all rows alike, and those of the parts."""
        parts = [("source", "ADE20K"), ("source", "COCO"), *(("task", name) for name in TASKS)]
        of_2d = {name: WEIGHTS[name] for name in ("ADE20K", "COCO")}
        return [
            _accuracy(
                "accuracy",
                "accuracy, mean of 2D and 3D",
                strata="source",
                weights=WEIGHTS,
                headline=True,
                abilities=["perception"],
            ),
            _accuracy("accuracy/plain", "accuracy, all rows alike"),
            _accuracy("accuracy/2d", "accuracy, 2D", where={"type": ["2D"]}, strata="source", weights=of_2d),
            _accuracy("accuracy/3d", "accuracy, 3D", where={"type": ["3D"]}),
            *(
                _accuracy(f"accuracy/{part.lower()}", f"accuracy, {part}", where={column: [part]})
                for column, part in parts
            ),
            Metric("unread", "replies without answer", "unread", cluster="image", higher_is_better=False),
        ]


def _accuracy(name: str, title: str, **chosen) -> Metric:
    return Metric(name, title, "accuracy", cluster="image", **chosen)
