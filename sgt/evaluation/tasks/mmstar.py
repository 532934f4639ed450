"""MMStar (Chen et al. 2024, arXiv 2403.20330): multiple choice that cannot be answered without the image.

Six categories of 250 questions each, three sub-categories in each, chosen from older benchmarks. The options stand in
the question's text, in two layouts, as others' code that reads the file shows: most after ``Options: A: x, B: y``,
those of MathVista in lines ``(A) x`` after ``Choices:``. Where there are fewer than four, the text is padded with
options that read "nan".
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

from PIL import Image
from pydantic import field_validator
from pydantic_core.core_schema import ValidationInfo

from sgt.config.benchmarks import FetchedBenchmark
from sgt.config.fields import Name
from sgt.data.records import ParquetTable, Record
from sgt.evaluation import parsing
from sgt.evaluation.fetched_task import FetchedTask, Protocol, Sample, shown_together, token_limits
from sgt.evaluation.metrics import Metric
from sgt.evaluation.task import Parsed, Row

SUB_CATEGORIES = {
    "coarse perception": ("image scene and topic", "image style & quality", "image emotion"),
    "fine-grained perception": ("object counting", "recognition", "localization"),
    "instance reasoning": (
        "single-instance reasoning",
        "cross-instance attribute reasoning",
        "cross-instance relation reasoning",
    ),
    "logical reasoning": ("code & sequence reasoning", "diagram reasoning", "common reasoning"),
    "science & technology": (
        "biology & chemistry & physics",
        "electronics & energy & mechanical eng.",
        "geography & earth science & agriculture",
    ),
    "math": ("geometry", "numeric commonsense and calculation", "statistical reasoning"),
}
LETTERS = parsing.LETTERS[:4]
# What stands where a question has no further option.
_PADDING = "nan"


class MMStarImage(Record):
    """Where a question comes from."""

    source: str
    image_path: str


class MMStarRecord(Record):
    """A row of the hub's file."""

    index: str
    question: str
    answer: Literal["A", "B", "C", "D"]
    category: str
    l2_category: str
    meta_info: MMStarImage

    @field_validator("l2_category")
    @classmethod
    def _of_its_category(cls, name: str, info: ValidationInfo) -> str:
        category = info.data.get("category")
        if name not in SUB_CATEGORIES.get(category or "", ()):
            raise ValueError(f"{name!r} is no sub-category of {category!r}")
        return name


def without_options(question: str) -> tuple[str, list[str]]:
    """The text of a question before its options, and the options.

    Options without a heading, and fewer than two, cannot be told from the rest: then the whole text and none.
    """
    *_, heading = [None, *re.finditer(r"\s(?:Options|Choices):\s*", question)]
    first = heading and re.compile(r"\(A\)|A[:.]").match(question, heading.end())
    if heading is None or first is None:
        return question.strip(), []
    # All are marked as the first is, and in order; a comma and a letter may stand in an option, too.
    written = r"\s*\({}\)\s*" if first[0] == "(A)" else rf"(?:,\s*|\n\s*){{}}\{first[0][1]}\s*"
    marks = [first]
    for letter in LETTERS[1:]:
        following = re.compile(written.format(letter)).search(question, marks[-1].end())
        if following is None:
            break
        marks.append(following)
    if len(marks) < 2:
        return question.strip(), []
    ends = [*(mark.start() for mark in marks[1:]), len(question)]
    texts = [question[mark.end() : end].strip().rstrip(",") for mark, end in zip(marks, ends, strict=True)]
    return question[: heading.start()].strip(), texts


def _listed(row: Row) -> str:
    if row.options is None:
        return f"Question: {row.question}\nPlease select the correct answer from the options above. \n"
    options = "".join(f"{letter}. {text}\n" for letter, text in zip(LETTERS, row.options, strict=False))
    return f"Question: {row.question}\nOptions:\n{options}Please select the correct answer from the options above. \n"


def _as_published(row: Row) -> str:
    return f"{row.extra['published'].strip()}\nAnswer with the option's letter from the given choices directly"


def _options(row: Row) -> Sequence[str]:
    """Where they could not be told apart, all letters may be meant, and no text."""
    return [""] * len(LETTERS) if row.options is None else row.options


def official_letter(reply: str) -> Parsed:
    """In lower case the first character, or the one after ``(``, ``option `` or ``the answer is ``.

    The first letter of any word is taken for an option: "Answer: B" is A.
    """
    text = reply.lower().strip().replace("\n", " ")
    for before in ("", "(", "option ", "the answer is "):
        value = text.removeprefix(before)[:1].upper() if text.startswith(before) else ""
        if value and value in LETTERS:
            whole = text.strip("().") == value.lower()
            return Parsed(value, "direct" if whole else "cue" if len(before) > 1 else "text")
    return Parsed(None, "none")


PROTOCOLS = {
    "official": Protocol(_listed, lambda row, reply: official_letter(reply), 32),
    # How the study of SGT asked is not known, only that it printed plain accuracy, as those do who ask like this. The
    # limit is that of multiple choice in BAGEL's own evaluation, which has no MMStar.
    "paper": Protocol(_listed, lambda row, reply: parsing.letter(reply, _options(row)), 100),
    "lmms-eval": Protocol(_as_published, lambda row, reply: parsing.lmms_letter(reply, len(LETTERS)), 100),
    # Without its judge, as with exact matching. Its own file has options in columns of their own; that the text before
    # them is the same, hint included, was seen in single questions only.
    "vlmevalkit": Protocol(_listed, lambda row, reply: parsing.vlmevalkit_letter(reply, _options(row)), 100),
}


class MMStar(FetchedTask):
    """Plain accuracy, and the mean over sub-categories that lmms-eval prints."""

    class Options(FetchedBenchmark):
        """Which protocol."""

        token_limits = token_limits(PROTOCOLS)
        published_rows = 1500
        # 2: an article is no letter, and one of vlmevalkit is where it first stands.
        scoring_version = 2

        task: Literal["mmstar"]
        protocol: Literal["official", "paper", "lmms-eval", "vlmevalkit"]
        download: Name = "mmstar"

    name = "mmstar"
    explanations: ClassVar[Mapping[str, str]] = {
        **FetchedTask.explanations,
        "sub_category": "sub-category",
    }
    protocols = PROTOCOLS

    def open(self, folders: Sequence[Path]) -> Sequence[Sample]:
        """A question with its image: no two are known to share one."""
        (folder,) = folders
        table = ParquetTable(sorted(folder.rglob("*.parquet")), MMStarRecord)
        return shown_together(table, lambda record: record.index)

    def parts(self, samples: Sequence[Sample]) -> list[str]:
        """The sub-categories, by which the file is sorted."""
        return [f"{sample.records[0].category} {sample.records[0].l2_category}" for sample in samples]

    def row(self, record: MMStarRecord, images: Sequence[Image.Image]) -> Row:
        """Options that are padding are left out. If the answer is none of the rest, they were not told apart rightly.

        Then the text is asked as it was published, and all four letters may be meant.
        """
        question, options = without_options(record.question)
        while options and options[-1].lower() == _PADDING and LETTERS[len(options) - 1] != record.answer:
            options.pop()
        if record.answer not in LETTERS[: len(options)]:
            question, options = record.question.strip(), []
        return Row(
            id=record.index,
            question=question,
            kind="mcq",
            images=images,
            options=options or None,
            answer=record.answer,
            dimensions={"category": record.category, "sub_category": record.l2_category},
            groups={"image": f"{record.meta_info.source}/{record.meta_info.image_path}"},
            extra={"published": record.question},
        )

    def metrics(self, rows: Sequence[Row]) -> list[Metric]:
        """Of all, and of each category, both ways; sub-categories differ in size."""
        mean = "mean of sub-categories"
        return [
            Metric("accuracy", "accuracy", "accuracy", headline=True),
            Metric("sub_category_mean", f"accuracy, {mean}", "accuracy", strata="sub_category"),
            *(
                Metric(
                    f"accuracy/{name}",
                    f"accuracy, {name}",
                    "accuracy",
                    {"category": [name]},
                    abilities=_abilities(name),
                )
                for name in SUB_CATEGORIES
            ),
            *(
                Metric(
                    f"sub_category_mean/{name}",
                    f"accuracy, {name}, {mean}",
                    "accuracy",
                    {"category": [name]},
                    strata="sub_category",
                )
                for name in SUB_CATEGORIES
            ),
            Metric("unread", "replies without answer", "unread", higher_is_better=False),
        ]


def _abilities(category: str) -> list[str]:
    """As the category's name says; science and math need knowledge, too."""
    return [ability for ability in ("perception", "reasoning") if category.endswith(ability)]
