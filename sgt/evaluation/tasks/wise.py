"""WISE (Niu et al. 2025, arXiv 2503.07265): prompts that take knowledge of the world to draw.

Two protocols have the name. ``legacy`` is that of the paper: three ratings from 0 to 2, weighted to the WiScore.
``verified``, of 2026, has other prompts and categories, and one rating, right or wrong. The structure, scales and form
of the reply are the published ones, the words of the questions are ours: scores compare arms, not printed numbers.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from PIL import Image
from pydantic import Field

from sgt.config.fields import Name
from sgt.config.judges import JudgedImageBenchmark
from sgt.data.records import Record, read_json_records
from sgt.errors import SgtError
from sgt.evaluation.evaluators.judge_calls import Call, png
from sgt.evaluation.judged_task import RATED, JudgedImageTask
from sgt.evaluation.metrics import Metric
from sgt.evaluation.task import Row

# The last prompt of each category.
LAST = {
    "legacy": {"culture": 400, "time": 567, "space": 700, "biology": 800, "physics": 900, "chemistry": 1000},
    "verified": {"culture": 400, "time": 520, "space": 640, "biology": 760, "physics": 880, "chemistry": 1000},
}
WEIGHTS = {
    "legacy": {"culture": 0.4, "time": 0.167, "space": 0.133, "biology": 0.1, "physics": 0.1, "chemistry": 0.1},
    "verified": {"culture": 0.4, "time": 0.12, "space": 0.12, "biology": 0.12, "physics": 0.12, "chemistry": 0.12},
}
ASPECTS = {"Consistency": 0.7, "Realism": 0.2, "Aesthetic Quality": 0.1}
MAX_TOKENS = {"legacy": 2000, "verified": 500}
SYSTEM = "You are a strict auditor of images, and rate them by the given rules alone."
ABOUT = "The image was made from this prompt: {prompt}\nWhat it should show: {explanation}\n"
LEGACY = (
    "Rate three things with 0, 1 or 2. Do not guess in its favour: 2 must be rare.\n"
    "Consistency: 0, it does not show what it should; 1, in part, or with mistakes; 2, entirely.\n"
    "Realism: 0, it cannot be, by light, matter or anatomy; 1, with mistakes; 2, as real.\n"
    "Aesthetic Quality: 0, poor; 1, plain; 2, of rare quality.\n"
    "Answer with exactly three lines:\nConsistency: N\nRealism: N\nAesthetic Quality: N"
)
VERIFIED = (
    "Does the image show what it should? Answer with exactly one line, Score: 1 if it does, entirely and without "
    "doubt, else Score: 0"
)


class WiseRecord(Record):
    """An entry of the published lists."""

    Prompt: str
    Explanation: str
    Subcategory: str
    prompt_id: int


class Wise(JudgedImageTask):
    """The mean of each category, weighted."""

    class Options(JudgedImageBenchmark):
        """Which of the two protocols, each with its own prompts."""

        published_rows = 1000

        task: Literal["wise"]
        protocol: Literal["legacy", "verified"]
        download: Name | None = Field(  # type: ignore[assignment]
            None, description="entry of config/data/downloads.yaml; without it, that of the protocol's prompts"
        )

        @property
        def data_downloads(self) -> tuple[str, ...]:
            """The prompts of the protocol."""
            return (self.download or f"wise-{self.protocol}",)

    name = "wise"
    explanations: ClassVar[Mapping[str, str]] = {
        **JudgedImageTask.explanations,
        "score": "WiScore, of consistency, realism and aesthetic quality; of the verified prompts right or wrong",
        "consistency": "rating of consistency with what the prompt means, from 0 to 2",
        "realism": "rating of realism, from 0 to 2",
        "aesthetic_quality": "rating of aesthetic quality, from 0 to 2",
        "category": "category",
        "judged": "judging ended with",
    }
    columns = ("score", "consistency", "realism", "aesthetic_quality")

    def open(self, folders: Sequence[Path]) -> Sequence[WiseRecord]:
        """The prompts by their number.

        Raises:
            SgtError: a number is there twice, or none of a category.
        """
        (folder,) = folders
        records = [each for path in sorted(folder.glob("*common_sense*.json")) for each in _records(path)]
        for part in ("*reasoning*.json", "*science*.json"):
            records += [each for path in sorted(folder.glob(part)) for each in _records(path)]
        numbers = [record.prompt_id for record in records]
        last = LAST[self.options.protocol]["chemistry"]
        if not numbers or len(set(numbers)) < len(numbers) or not all(1 <= each <= last for each in numbers):
            problem = f"{len(records)} prompts, which are not numbered from 1 to {last} without repetition"
            raise SgtError(folder, problem, "fetch it again, or another revision")
        return sorted(records, key=lambda record: record.prompt_id)

    def parts(self, samples: Sequence[WiseRecord]) -> list[str]:
        """The categories, by which the prompts are numbered; the score weights them."""
        return [category(record.prompt_id, self.options.protocol) for record in samples]

    def rows(self, samples: Iterable[WiseRecord]) -> Iterator[Row]:
        """A row per prompt."""
        for record in samples:
            yield Row(
                id=str(record.prompt_id),
                question=record.Prompt,
                kind="image",
                dimensions={"category": category(record.prompt_id, self.options.protocol)},
                extra={"explanation": record.Explanation, "subcategory": record.Subcategory},
                size=(self.options.side, self.options.side),
            )

    def calls(self, row: Row, image: Image.Image) -> list[Call]:
        """One, with what the image should show."""
        protocol = self.options.protocol
        about = ABOUT.format(prompt=row.question, explanation=row.extra["explanation"])
        rules = LEGACY if protocol == "legacy" else VERIFIED
        return [Call(about + rules, [png(image)], MAX_TOKENS[protocol], 0.0, SYSTEM)]

    def read(self, row: Row, number: int, text: str) -> list[int] | int | None:
        """Three ratings from 0 to 2, or one of 0 and 1."""
        return ratings(text) if self.options.protocol == "legacy" else verdict(text)

    def values(self, row: Row, read: Sequence[Any]) -> dict[str, float]:
        """The WiScore and its parts; or right or wrong."""
        if self.options.protocol == "verified":
            return {"score": float(read[0])}
        consistency, realism, quality = read[0]
        return {
            "score": wiscore(consistency, realism, quality),
            "consistency": consistency,
            "realism": realism,
            "aesthetic_quality": quality,
        }

    def metrics(self, rows: Sequence[Row]) -> list[Metric]:
        """The weighted mean, the plain one that BAGEL's script prints, and each category."""
        protocol = self.options.protocol
        there = [name for name in LAST[protocol] if any(row.dimensions["category"] == name for row in rows)]
        weights = {name: WEIGHTS[protocol][name] for name in there}
        title = "WiScore" if protocol == "legacy" else "WISE Verified"
        judge = self.options.judge.name if self.options.judge else ""
        equal, about = dict.fromkeys(there, 1.0), dict[str, Any](unit="score")
        parts = ("consistency", "realism", "aesthetic_quality") if protocol == "legacy" else ()
        return [
            Metric(
                "overall",
                f"{title} ({judge})",
                "score",
                RATED,
                strata="category",
                weights=weights,
                headline=True,
                **about,
            ),
            Metric("plain", f"{title}, plain mean", "score", RATED, strata="category", weights=equal, **about),
            *(Metric(f"category/{each}", f"{title} {each}", "score", _of(each), **about) for each in there),
            *(
                Metric(each, each.replace("_", " "), each, RATED, unit="points of 2", range=(0.0, 2.0))
                for each in parts
            ),
            *self.failures(),
        ]


def category(number: int, protocol: str) -> str:
    """The category of a prompt, by its number from 1."""
    return next(name for name, last in LAST[protocol].items() if number <= last)


def wiscore(consistency: float, realism: float, quality: float) -> float:
    """Of three ratings from 0 to 2, in [0, 1]."""
    weighted = zip((consistency, realism, quality), ASPECTS.values(), strict=True)
    return sum(rating * weight for rating, weight in weighted) / 2


def ratings(text: str) -> list[int] | None:
    """The last rating of each aspect, or three bare digits; None unless all are 0, 1 or 2."""
    if bare := re.fullmatch(r"\s*([0-2])[\s,;]+([0-2])[\s,;]+([0-2])\s*", text):
        return [int(each) for each in bare.groups()]
    found = []
    for name in ASPECTS:
        given = re.findall(rf"(?i){name}\W*?[:：]?\W*?(-?\d+(?:\.\d+)?)", text)
        if not given or given[-1] not in ("0", "1", "2"):
            return None
        found.append(int(given[-1]))
    return found


def verdict(text: str) -> int | None:
    """The first score of a reply; None unless it is 0 or 1."""
    given = re.search(r"(?i)score\W*?[:：]\W*?(-?\d+(?:\.\d+)?)", text)
    return int(given[1]) if given and given[1] in ("0", "1") else None


def _of(name: str) -> dict[str, Sequence[str]]:
    return {**RATED, "category": [name]}


def _records(path: Path) -> list[WiseRecord]:
    return read_json_records(path, WiseRecord)
