"""MathVista (Lu et al. 2023, arXiv 2310.02255), its testmini split: mathematics of figures and photos.

540 questions of multiple choice and 460 that ask for a number or a list. Everybody but us has a language model read the
answer out of a reply. No judge is called here: our own rules read nearly all replies, and accuracy is given twice, as
if all others were wrong and as if they were right; the protocols of others read what they read without their judge.

Training on it is prohibited.
"""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from PIL import Image
from pydantic import field_validator
from pydantic_core.core_schema import ValidationInfo

from sgt.config.benchmarks import FetchedBenchmark
from sgt.config.fields import Name
from sgt.data.records import ParquetTable, Record
from sgt.evaluation import parsing
from sgt.evaluation.fetched_task import FetchedTask, Protocol, Sample, shown_together, token_limits
from sgt.evaluation.metrics import Metric
from sgt.evaluation.numbers import answer_part, last_list, last_number
from sgt.evaluation.task import Kind, Parsed, Row

TASKS = {
    "FQA": "figure question answering",
    "GPS": "geometry problem solving",
    "MWP": "math word problem",
    "TQA": "textbook question answering",
    "VQA": "visual question answering",
}
SKILLS = (
    "algebraic reasoning",
    "arithmetic reasoning",
    "geometry reasoning",
    "logical reasoning",
    "numeric commonsense",
    "scientific reasoning",
    "statistical reasoning",
)
KINDS: dict[str, Kind] = {"text": "mcq", "integer": "number", "float": "number", "list": "list"}
# How the task ``format`` of lmms-eval asks for each type of answer, a float by its decimal places.
_LMMS_HINTS = {
    "text": "Answer with the option's letter from the given choices directly.",
    "integer": "Answer the question using a single integer number.",
    "float1": "Answer the question using a single floating-point number with one decimal place.",
    "float2": "Answer the question using a single floating-point number with two decimal places.",
    "list": "Answer the question using a Python list.",
}


class MathVistaMetadata(Record):
    """What a question is about."""

    task: str
    language: str
    skills: list[str]


class MathVistaRecord(Record):
    """A row of the hub's file."""

    pid: str
    question: str
    query: str
    unit: str | None
    choices: list[str] | None
    # The hub's column is of floats, as it has gaps; lmms-eval fails on that.
    precision: int | float | None
    answer_type: Literal["text", "integer", "float", "list"]
    answer: str
    metadata: MathVistaMetadata

    @field_validator("precision")
    @classmethod
    def _no_gap(cls, places: int | float | None) -> int | float | None:
        return None if places is None or math.isnan(places) else places

    @field_validator("answer")
    @classmethod
    def _as_asked(cls, answer: str, info: ValidationInfo) -> str:
        about = info.data
        match about.get("answer_type"):
            case "text" if answer not in (about.get("choices") or ()):
                raise ValueError(f"{answer!r} is none of the choices")
            case "integer":
                int(answer)
            case "float":
                float(answer)
                if about.get("precision") not in (1, 2):
                    raise ValueError("the precision of a float must be 1 or 2")
        return answer


def _query(row: Row) -> str:
    return row.extra["query"]


def _lmms_format(row: Row) -> str:
    kind, unit = row.extra["answer_type"], row.extra["unit"]
    question = f"{row.question} (Unit: {unit})" if unit else row.question
    options = [f"{letter}. {text}" for letter, text in zip(parsing.LETTERS, row.options or (), strict=False)]
    hint = _LMMS_HINTS[f"float{row.extra['precision']:.0f}" if kind == "float" else kind]
    return "\n".join([question, *options, hint]).strip()


def by_rule(row: Row, reply: str) -> Parsed:
    """Our own rules, in the part of the reply in which the answer stands.

    A choice is the only letter that stands alone, else the only option whose text does; a number is the last one, and
    rounded as the answer is; a list must be written as one. Numbers are compared as numbers.
    """
    part, cued = answer_part(reply)
    if row.kind == "mcq":
        options = row.options or ()
        # Of an option that is there twice, the first has the text.
        texts = [text if options.index(text) == place else "" for place, text in enumerate(options)]
        parsed = parsing.letter(part, texts)
        value = None if parsed.value is None else _first_alike(row, parsed.value)
        return Parsed(value, "cue" if cued and value else parsed.status)
    found, wanted = (_number_or_list(row, text) for text in (part, row.answer or ""))
    if found is None or wanted is None:
        return Parsed(None, "none")
    value, alone = found
    # What equals the answer is written as the answer is, since values are compared as texts.
    return Parsed(row.answer if value == wanted[0] else str(value), "cue" if cued else "direct" if alone else "text")


def _number_or_list(row: Row, text: str) -> tuple[Any, bool] | None:
    if row.kind == "list":
        items = last_list(text)
        return None if items is None else (items, re.fullmatch(r"\[[^\[\]]*\]", text) is not None)
    number = last_number(text)
    if number is None or row.extra["answer_type"] == "integer":
        return number
    return round(number[0], int(row.extra["precision"])), number[1]


def _first_alike(row: Row, letter: str) -> str:
    """The first letter whose option has the same text, since three questions have an option twice."""
    options = row.options or ()
    return parsing.LETTERS[options.index(options[parsing.LETTERS.index(letter)])]


def official(row: Row, reply: str) -> Parsed:
    """The published code where it asks no judge, or where a judge has nothing to choose from, then its normalisation.

    The code takes the text of an option, and whatever Python reads as an integer or float; of an empty reply it takes
    the option that is least far from it, the shortest. A reply of one word, or a list, is what a judge can only give
    back. All others are not read.
    """
    if not reply:
        extraction = ""
    elif reply in (row.options or ()) or _is_number(row, reply) or re.fullmatch(r"\S+|\[[^\[\]]*\]", reply.strip()):
        extraction = reply.strip()
    else:
        return Parsed(None, "none")
    return Parsed(normalised(row, extraction), "direct" if extraction else "text")


def _is_number(row: Row, text: str) -> bool:
    read = {"integer": int, "float": float}.get(row.extra["answer_type"])
    try:
        return read is not None and read(text) is not None
    except ValueError:
        return False


def normalised(row: Row, extraction: str) -> str:
    """What the published code compares with the answer, faults included; of a choice its letter.

    A choice that is neither a letter in parentheses nor a capital letter is the option at the smallest edit distance,
    the first of several: "b" is any option of one character. Integers are cut, not rounded: 14.9 is 14. Lists are
    compared as they are written. What is no number ("1,200") becomes None, which is compared as a text, too.
    """
    kind = row.extra["answer_type"]
    if row.options:
        in_parentheses = re.findall(r"\(([a-zA-Z])\)", extraction)
        said = in_parentheses[0].upper() if in_parentheses else extraction
        letters = parsing.LETTERS[: len(row.options)]
        if len(said) == 1 and said in letters:
            return _first_alike(row, said)
        distances = [edit_distance(said, option) for option in row.options]
        return letters[distances.index(min(distances))]
    try:
        if kind == "integer":
            return str(int(float(extraction)))
        return str(round(float(extraction), int(row.extra["precision"]))) if kind == "float" else extraction
    except (ValueError, OverflowError):
        return str(None)


def edit_distance(one: str, other: str) -> int:
    """Fewest characters to insert, delete or replace to make one text of another (Levenshtein)."""
    distances = list(range(len(other) + 1))
    for row, sign in enumerate(one, 1):
        before, distances[0] = distances[0], row
        for column, opposite in enumerate(other, 1):
            same = before + (sign != opposite)
            before = distances[column]
            distances[column] = min(same, before + 1, distances[column - 1] + 1)
    return distances[-1]


def lmms(row: Row, reply: str) -> Parsed:
    """As the published code, but of the stripped reply, and every float is wrong if the file's precision is a float.

    Python rounds to no number of places that is a float, so that of all 40 questions that ask for a float None is what
    lmms-eval compares, whatever its judge reads. The hub's file has such a precision.
    """
    if isinstance(row.extra["precision"], float) and row.extra["answer_type"] == "float":
        return Parsed(str(None), "text")
    return official(row, reply.strip())


def vlmevalkit(row: Row, reply: str) -> Parsed:
    """As VLMEvalKit reads before it asks its judge: letters by its rules, numbers only if they are right and not 0.

    Letters are compared, so that of two options with one text only the first is right. That is taken for the one that
    its own file has as the answer, which was not seen. Lists are never right there.
    """
    if row.kind == "mcq":
        return parsing.vlmevalkit_letter(reply, row.options or ())
    if row.kind == "number" and _is_number(row, reply):
        read = int if row.extra["answer_type"] == "integer" else float
        if read(reply) == read(row.answer or "") != 0:
            return Parsed(row.answer, "direct")
    return Parsed(None, "none")


PROTOCOLS = {
    "official": Protocol(_query, official, 4096),
    # BAGEL's own evaluation, which SGT's is a copy of, asks this, and has a judge read: gpt-4o-2024-11-20.
    "paper": Protocol(_query, by_rule, 4096),
    # The task mathvista_testmini_format.
    "lmms-eval": Protocol(_lmms_format, lmms, 16384),
    # That its file's question is the query was not seen in the file, only in what it shows its judge.
    "vlmevalkit": Protocol(_query, vlmevalkit, 4096),
}


class MathVista(FetchedTask):
    """Accuracy as if unread replies were wrong, and as if they were right."""

    class Options(FetchedBenchmark):
        """Which protocol."""

        token_limits = token_limits(PROTOCOLS)
        published_rows = 1000
        # 2: an article is no letter, and the text of an option that is there twice is read.
        scoring_version = 2

        task: Literal["mathvista"]
        protocol: Literal["official", "paper", "lmms-eval", "vlmevalkit"]
        download: Name = "mathvista"

    name = "mathvista"
    explanations: ClassVar[Mapping[str, str]] = {
        **FetchedTask.explanations,
        "right_or_unread": "share of questions whose reply is right or was not read: no more could be right",
        "answer_type": "form of the answer",
        "skills": "skills that a question needs",
    }
    protocols = PROTOCOLS

    def open(self, folders: Sequence[Path]) -> Sequence[Sample]:
        """A question with its image. The answers of the other split are not public."""
        (folder,) = folders
        table = ParquetTable(sorted(folder.rglob("testmini*.parquet")), MathVistaRecord, "decoded_image")
        return shown_together(table, lambda record: record.pid)

    def row(self, record: MathVistaRecord, images: Sequence[Image.Image]) -> Row:
        """Of a choice, the answer is the first letter whose option has its text."""
        kind, choices = KINDS[record.answer_type], record.choices or []
        about = record.metadata
        return Row(
            id=record.pid,
            question=record.question,
            kind=kind,
            images=images,
            options=choices if kind == "mcq" else None,
            answer=parsing.LETTERS[choices.index(record.answer)] if kind == "mcq" else record.answer,
            dimensions={
                "task": about.task,
                "skills": ", ".join(sorted(about.skills)),
                "language": about.language,
                "answer_type": record.answer_type,
            },
            extra=record.model_dump(include={"query", "unit", "precision", "answer_type"}),
        )

    def score(self, row: Row, parsed: Parsed) -> dict[str, float]:
        """Besides, whether the answer is right or was not found."""
        scored = super().score(row, parsed)
        return {**scored, "right_or_unread": max(scored["accuracy"], scored["unread"])}

    def metrics(self, rows: Sequence[Row]) -> list[Metric]:
        """Of all, by form of the answer, by task, and by skill, of which a question may need several."""
        of_skill = {skill: [s for s in _values(rows, "skills") if skill in s.split(", ")] for skill in SKILLS}
        parts = {
            "multi_choice": ("multiple choice", {"answer_type": ["text"]}),
            "free_form": ("free form", {"answer_type": ["integer", "float", "list"]}),
            **{short: (name, {"task": [name]}) for short, name in TASKS.items()},
            **{skill: (skill, {"skills": combinations}) for skill, combinations in of_skill.items()},
        }
        return [
            Metric("accuracy", "accuracy", "accuracy", headline=True, abilities=["reasoning"]),
            Metric("accuracy_at_most", "accuracy, unread replies taken for right", "right_or_unread"),
            *(
                Metric(f"accuracy/{name}", f"accuracy, {title}", "accuracy", where)
                for name, (title, where) in parts.items()
            ),
            Metric("unread", "replies without answer", "unread", higher_is_better=False),
        ]


def _values(rows: Sequence[Row], dimension: str) -> list[str]:
    return sorted({row.dimensions[dimension] for row in rows})
