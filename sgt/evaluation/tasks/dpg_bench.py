"""DPG-Bench (Hu et al. 2024, ELLA, arXiv 2403.05135): dense prompts, and a graph of questions about each.

A question counts only if all that it depends on are answered with yes. The published scorer answers with mPLUG, which
transformers does not have; another judge makes another metric, so the judge's name is part of every score.

The published scorer's faults are not here: it loses the first row, takes categories from the last of four images
alone, and drops an image where anything fails.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from PIL import Image
from pydantic import Field

from sgt.config.fields import Count, Name
from sgt.config.judges import JudgedImageBenchmark
from sgt.data.records import Record, checked, read_rows
from sgt.errors import SgtError
from sgt.evaluation.evaluators.judge_calls import Call, png
from sgt.evaluation.judged_task import RATED, JudgedImageTask
from sgt.evaluation.metrics import Metric
from sgt.evaluation.task import Row

CATEGORIES = ("entity", "attribute", "relation", "global", "other")
COLUMNS = ("item_id", "text", "proposition_id", "dependency", "tuple", "question_natural_language")
INSTRUCTION = "Look at the image and answer with yes or no only."
MAX_TOKENS = 16


class DpgRecord(Record):
    """A row of the published table: one question about one prompt."""

    item_id: str
    text: str
    proposition_id: str
    dependency: str
    tuple: str
    question_natural_language: str


@dataclass(frozen=True)
class DpgItem:
    """A prompt with its questions, in the order of the table."""

    id: str
    prompt: str
    questions: Sequence[dict[str, Any]]


class DpgBench(JudgedImageTask):
    """The mean over images of the share of questions whose answer, and those of all that they build on, is yes."""

    class Options(JudgedImageBenchmark):
        """How many images are made of a prompt."""

        published_rows = 1065

        task: Literal["dpg-bench"]
        protocol: Literal["official"] = "official"
        download: Name = "dpg-bench"
        images: Count = Field(4, description="of each prompt, from seeds that follow each other")

        @property
        def published_images(self) -> int:
            """So many of each prompt."""
            return self.images * self.published_rows

    options: Options
    name = "dpg-bench"
    explanations: ClassVar[Mapping[str, str]] = {
        **JudgedImageTask.explanations,
        "score": "mean over images of the share of questions answered with yes, along with all that they depend on",
        **{f"{each}_yes": f"share of questions about {each} that are answered with yes" for each in CATEGORIES},
        "judged": "judging ended with",
    }
    columns = ("score", *(f"{each}_{what}" for each in CATEGORIES for what in ("yes", "asked")))
    cluster = "prompt"

    def open(self, folders: Sequence[Path]) -> Sequence[DpgItem]:
        """The prompts, in the order of the table.

        Raises:
            SgtError: a question depends on one that is not there.
        """
        (folder,) = folders
        path = folder / "dpg_bench.csv"
        of_item: dict[str, list[DpgRecord]] = {}
        for number, row in enumerate(read_rows(path, COLUMNS)):
            record = checked(DpgRecord, row, f"{path}: row {number}")
            of_item.setdefault(record.item_id, []).append(record)
        return [_item(f"{path}: {name}", records) for name, records in of_item.items()]

    def parts(self, samples: Sequence[DpgItem]) -> list[str]:
        """The collections that prompts are from, which their names begin with."""
        return [item.id.rstrip("0123456789") for item in samples]

    def rows(self, samples: Iterable[DpgItem]) -> Iterator[Row]:
        """So many rows of each prompt as there are images of it."""
        for item in samples:
            for number in range(self.options.images):
                yield Row(
                    id=f"{item.id}-{number}",
                    question=item.prompt,
                    kind="image",
                    groups={"prompt": item.id},
                    extra={"questions": list(item.questions)},
                    size=(self.options.side, self.options.side),
                    repeat=number,
                )

    def calls(self, row: Row, image: Image.Image) -> list[Call]:
        """A call of each question."""
        shown = png(image)
        return [Call(f"{INSTRUCTION}\n{each['question']}", [shown], MAX_TOKENS) for each in row.extra["questions"]]

    def read(self, row: Row, number: int, text: str) -> int | None:
        """1 for yes, 0 for no."""
        return {"yes": 1, "no": 0}.get(text.strip().lower().rstrip(".!"))

    def values(self, row: Row, read: Sequence[int]) -> dict[str, float]:
        """The score with dependencies, and the raw answers of each category."""
        questions = row.extra["questions"]
        counted = with_dependencies(questions, read)
        found: dict[str, float] = {"score": sum(counted) / len(counted)}
        for category in CATEGORIES:
            answers = [answer for each, answer in zip(questions, read, strict=True) if each["category"] == category]
            found |= {f"{category}_yes": sum(answers), f"{category}_asked": len(answers)}
        return found

    def metrics(self, rows: Sequence[Row]) -> list[Metric]:
        """The score, the answers of each category pooled, and what could not be judged."""
        categories = {each["category"] for row in rows for each in row.extra["questions"]}
        return [
            Metric("dpg", f"DPG ({self._judge})", "score", RATED, cluster="prompt", headline=True),
            *(
                Metric(
                    f"dpg/{each}",
                    f"DPG {each}",
                    f"{each}_yes",
                    RATED,
                    over=f"{each}_asked",
                    cluster="prompt",
                    unit="share of questions",
                )
                for each in CATEGORIES
                if each in categories
            ),
            *self.failures(),
        ]

    @property
    def _judge(self) -> str:
        return self.options.judge.name if self.options.judge else ""


def with_dependencies(questions: Sequence[Mapping[str, Any]], answers: Sequence[int]) -> list[int]:
    """The answers, in the table's order, with 0 in place of each that depends on a 0.

    Args:
        questions: each with its ``id`` and the ids of its ``parents``.
        answers: 1 for yes, 0 for no.
    """
    counted: dict[str, int] = {each["id"]: answer for each, answer in zip(questions, answers, strict=True)}
    for each in questions:
        if any(counted[parent] == 0 for parent in each["parents"]):
            counted[each["id"]] = 0
    return list(counted.values())


def _item(where: str, records: Sequence[DpgRecord]) -> DpgItem:
    questions = [
        {
            "id": record.proposition_id,
            "parents": [parent for parent in map(str.strip, record.dependency.split(",")) if parent not in ("", "0")],
            "question": record.question_natural_language,
            "category": record.tuple.partition(" - ")[0].strip().lower(),
        }
        for record in records
    ]
    known = [each["id"] for each in questions]
    if len(set(known)) < len(known):
        raise SgtError(where, "two questions have the same proposition_id", "fetch it again, or another revision")
    for each in questions:
        for parent in each["parents"]:
            if parent not in known:
                problem = f"question {each['id']} depends on {parent}, which is not there"
                raise SgtError(where, problem, "fetch it again, or another revision")
    return DpgItem(records[0].item_id, records[0].text, questions)
