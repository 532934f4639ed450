"""RealWorldQA (xAI 2024, published with Grok-1.5 Vision, without a paper): questions about everyday photographs.

Many were taken from vehicles. Each question says how to answer it: by a letter, or by a word or number. Changed rows
must not be passed on (CC BY-ND 4.0). Rows are independent, and are the unit of resampling.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

from PIL import Image

from sgt.config.benchmarks import FetchedBenchmark
from sgt.config.fields import Name
from sgt.data.records import REMEDY, ParquetTable, Record
from sgt.errors import SgtError
from sgt.evaluation import parsing
from sgt.evaluation.fetched_task import FetchedTask, Protocol, Sample, token_limits
from sgt.evaluation.metrics import Metric
from sgt.evaluation.task import Kind, Parsed, Row

ROWS = 765
# How an answer is given.
LETTER, OPEN = "letter", "open"
# How questions end: "with only the letter of the correct option and nothing else" or "with a single word or number".
# The latter is quoted by several projects, and not verified in the data.
_INSTRUCTION = re.compile(r"\s*Please answer directly with .*")
# lmms-eval looks for these letters, whatever the options.
_LMMS_LETTERS = list(parsing.LETTERS[:4])
_NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBER = re.compile(rf"(?<![\w.])(?:\d+(?:\.\d+)?|{'|'.join(_NUMBER_WORDS)})(?!\w)")
_ANSWER_CUE = re.compile(r".*\banswer(?: is|:)\s*", re.DOTALL)


class RealWorldRecord(Record):
    """A row of the hub's data set, which has neither ids nor categories."""

    question: str
    answer: str


@dataclass(frozen=True)
class Question:
    """A row with its number, and the parts of its text.

    Attributes:
        number: of the row, from 0, over all files.
        text: as published: question, options and instruction.
        question: without options and instruction.
        options: texts of the lettered options; None of an open question.
        answer: the letter, or the text in lower case.
    """

    number: int
    text: str
    question: str
    options: list[str] | None
    answer: str


def _as_published(row: Row) -> str:
    return row.extra["prompt"]


def _template(row: Row) -> str:
    """VLMEvalKit's for multiple choice; without options only its first line, which is not verified."""
    if row.options is None:
        return f"Question: {row.question}\n"
    options = "".join(f"{letter}. {text}\n" for letter, text in zip(parsing.LETTERS, row.options, strict=False))
    return f"Question: {row.question}\nOptions:\n{options}Please select the correct answer from the options above. \n"


def _own(row: Row, reply: str) -> Parsed:
    """Our own rules, by the kind of the answer."""
    if row.options is not None:
        return parsing.letter(reply, row.options)
    if row.kind == "yesno":
        return parsing.yes_no(reply)
    parsed = _number(reply) if row.kind == "number" else _words(reply)
    same = parsed.value is not None and parsed.value == _own_form(row)
    return replace(parsed, value=row.answer) if same else parsed


def _own_form(row: Row) -> str:
    """The published answer as our own rules write it."""
    answer = row.answer or ""
    return _in_digits(answer) if row.kind == "number" else _plain(answer)


def _number(reply: str) -> Parsed:
    """A number in digits or words: the reply itself, the first after a cue, or the only one."""
    text = reply.strip().lower()
    after = _ANSWER_CUE.sub("", text)
    numbers = [_in_digits(each) for each in _NUMBER.findall(after)]
    if not numbers:
        return Parsed(None, "none")
    if after != text:
        return parsing.found(numbers[0], "cue")
    if len(set(numbers)) > 1:
        return Parsed(None, "ambiguous")
    return parsing.found(numbers[0], "direct" if _NUMBER.fullmatch(text.strip(" .")) else "text")


def _in_digits(number: str) -> str:
    return str(_NUMBER_WORDS.index(number)) if number in _NUMBER_WORDS else number


def _words(reply: str) -> Parsed:
    """What follows a cue, or the whole reply, without articles and surrounding signs."""
    text = reply.strip().lower()
    after = _ANSWER_CUE.sub("", text)
    words = _plain(after)
    return parsing.found(words or None, "cue" if after != text else "direct" if len(words.split()) == 1 else "text")


def _plain(text: str) -> str:
    return re.sub(r"^(?:an?|the)\s+", "", text.strip(" \n\t.,:;!*\"'`"))


def _lmms(row: Row, reply: str) -> Parsed:
    """Where the answer is one of A to D, its rule for multiple choice; else the whole reply without its last full stop.

    A number in words is not the number: its table of them is not used.
    """
    if row.answer in _LMMS_LETTERS:
        return parsing.lmms_letter(reply, len(_LMMS_LETTERS))
    return _exactly(row, reply.lower().strip().rstrip("."))


def _cambrian(row: Row, reply: str) -> Parsed:
    """As Cambrian's evaluation reads: the first word after the last "answer is" or "answer:", or else of the reply.

    "B. Right" is no letter, since full stops are taken away at the end of the reply alone; after "answer is:" the colon
    is the word; and an answer of two words is never met.
    """
    text = reply.lower().rpartition("answer is")[2].rpartition("answer:")[2]
    first, *_ = [*text.strip().rstrip(".").split(), ""]
    return _exactly(row, first)


def _exactly(row: Row, text: str) -> Parsed:
    """A text in lower case as an answer: a letter that is an option's, or any text if the question is open."""
    if row.options is None:
        return parsing.found(text or None)
    letters = parsing.LETTERS[: len(row.options)]
    return parsing.found(text.upper() if len(text) == 1 and text.upper() in letters else None)


def _vlmevalkit(row: Row, reply: str) -> Parsed:
    """Without its judge. How its table holds open questions is not known: a letter is all that its rule can read."""
    return Parsed(None, "none") if row.options is None else parsing.vlmevalkit_letter(reply, row.options)


PROTOCOLS = {
    # BAGEL's official evaluation does not have this benchmark, and the study of SGT does not say how it asked. The
    # limit is that of BAGEL's other multiple choice.
    "paper": Protocol(_as_published, _own, 100),
    "cambrian": Protocol(_as_published, _cambrian, 512),
    "lmms-eval": Protocol(_as_published, _lmms, 16),
    "vlmevalkit": Protocol(_template, _vlmevalkit, 100),
}


class RealWorldQA(FetchedTask):
    """Accuracy, of all questions and by how they are answered. There is no official protocol."""

    class Options(FetchedBenchmark):
        """Which protocol."""

        token_limits = token_limits(PROTOCOLS)
        published_rows = ROWS
        # 2: an article is no letter, and one of vlmevalkit is where it first stands.
        scoring_version = 2

        task: Literal["realworldqa"]
        protocol: Literal["paper", "cambrian", "lmms-eval", "vlmevalkit"]
        download: Name = "realworldqa"

    name = "realworldqa"
    redistributable = False
    protocols: ClassVar[Mapping[str, Protocol]] = PROTOCOLS

    def open(self, folders: Sequence[Path]) -> Sequence[Sample]:
        """A photograph with its question."""
        (folder,) = folders
        table = ParquetTable(sorted(folder.rglob("*.parquet")), RealWorldRecord)
        if len(table) > ROWS:
            raise SgtError(folder, f"{len(table)} rows, {ROWS} are published", "keep only data/test-*.parquet")
        return [
            Sample(partial(_image, table, number), [_question(number, record, table.where(number))])
            for number, record in enumerate(table)
        ]

    def row(self, record: Question, images: Sequence[Image.Image]) -> Row:
        """The id is the row's number."""
        return Row(
            id=str(record.number),
            question=record.question,
            kind=_kind(record),
            images=images,
            options=record.options,
            answer=record.answer,
            dimensions={"format": LETTER if record.options else OPEN},
            extra={"prompt": record.text},
        )

    def metrics(self, rows: Sequence[Row]) -> list[Metric]:
        """Accuracy of all, and of questions with lettered options and without."""
        return [
            Metric("accuracy", "accuracy", "accuracy", headline=True, abilities=["perception"]),
            Metric("accuracy/letter", "accuracy, lettered options", "accuracy", {"format": [LETTER]}),
            Metric("accuracy/open", "accuracy, open questions", "accuracy", {"format": [OPEN]}),
            Metric("unread", "replies without answer", "unread", higher_is_better=False),
        ]


def _kind(question: Question) -> Kind:
    if question.options is not None:
        return "mcq"
    if question.answer in parsing.YES_NO:
        return "yesno"
    return "number" if _NUMBER.fullmatch(question.answer) else "text"


def _image(table: ParquetTable, number: int) -> list[Image.Image]:
    return [table.image(number)]


def _question(number: int, record: RealWorldRecord, where: str) -> Question:
    """Take a row apart.

    Raises:
        SgtError: it has no answer, or a letter that is none of its options'.
    """
    text, answer = record.question.strip(), record.answer.strip()
    asked = _INSTRUCTION.sub("", text).strip()
    if not re.fullmatch("[A-Z]?", answer):
        return Question(number, text, asked, None, answer.lower())
    question, options = _parts(asked, answer)
    if answer not in list(parsing.LETTERS[: len(options)]):
        raise SgtError(f"{where}: answer", f"{answer!r} is none of {len(options)} options", REMEDY)
    return Question(number, text, question, options, answer)


def _parts(text: str, answer: str) -> tuple[str, list[str]]:
    """The question, and the options, each from its letter to the next; letters stand at the beginning of lines.

    A few published rows have an option that is not written like the others (VLMEvalKit's table has lost those): after
    the first, a letter need not be followed by a sign, nor, up to the answer's, begin a line.
    """
    starts: list[re.Match] = []
    for letter in parsing.LETTERS:
        sign = r"(?:[.):,]\s*|\s+)" if starts else r"[.):,]\s*"
        after = starts[-1].end() if starts else 0
        begins = re.compile(rf"^\s*\(?{letter}{sign}", re.MULTILINE).search(text, after)
        if begins is None and letter <= answer:
            begins = re.compile(rf"(?<!\w)\(?{letter}{sign}").search(text, after)
        if begins is None:
            break
        starts.append(begins)
    ends = [each.start() for each in starts[1:]] + [len(text)]
    options = [text[begins.end() : end].strip() for begins, end in zip(starts, ends, strict=False)]
    return text[: starts[0].start()].strip() if starts else text, options
