"""GEdit-Bench (Liu et al. 2025, Step1X-Edit, arXiv 2504.17761): edits of real images that people wanted.

A judge rates each edit by VIEScore (Ku et al. 2024, arXiv 2312.14867): whether the instruction was followed and nothing
else changed (SC), and whether the image is good (PQ), each the lower of two ratings. The structure, scales, images and
limits of the two questions are the published ones, their words are ours: scores compare arms, not printed numbers.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from PIL import Image

from sgt.config.fields import Name
from sgt.config.judges import JudgedEditBenchmark
from sgt.data.records import ParquetTable, Record
from sgt.evaluation.evaluators.judge_calls import Call, braced, jpeg
from sgt.evaluation.judged_task import RATED, JudgedImageTask
from sgt.evaluation.metrics import Metric
from sgt.evaluation.task import Row

Group = Literal[
    "background_change", "color_alter", "material_alter", "motion_change", "ps_human", "style_change",
    "subject-add", "subject-remove", "subject-replace", "text_change", "tone_transfer",
]  # fmt: skip
MAX_TOKENS = 1400
ROLE = (
    "You are a professional digital artist who assesses images. All images, with the people in them, were made by AI, "
    "so that nobody's privacy is concerned.\n"
    'Answer with JSON alone: {"score": [A, B], "reasoning": "..."}. A and B are numbers from 0 to 10; keep the '
    "reasoning short.\n"
)
FOLLOWED = (
    "The first image was edited, and the second is the result. A: how well the edit follows the instruction, from 0 "
    "(not at all) to 10 (perfectly). B: how little was changed beyond it, from 0 (the second image is another one) to "
    "10 (only what had to be changed was).\nInstruction: {instruction}"
)
QUALITY = (
    "Assess this image. A: how natural it looks, with its light, shadows and distances, from 0 (not at all) to 10 "
    "(like a photograph or drawing). B: how free it is of artefacts, such as distorted, blurred or doubled parts, from "
    "0 (full of them) to 10 (without any)."
)


class GeditRecord(Record):
    """A row of the published table, without its images."""

    task_type: Group
    key: str
    instruction: str
    instruction_language: Literal["en", "cn"]


class GeditBench(JudgedImageTask):
    """√(SC · PQ) of each edit, as the mean over the groups of edits of their means."""

    class Options(JudgedEditBenchmark):
        """Which half: the same edits, with instructions in English or Chinese."""

        published_rows = 606

        task: Literal["gedit-bench"]
        protocol: Literal["en", "cn"] = "en"
        download: Name = "gedit-bench"

    name = "gedit-bench"
    explanations: ClassVar[Mapping[str, str]] = {
        **JudgedImageTask.explanations,
        "overall": "square root of SC · PQ of each edit",
        "sc": "SC: the lower of two ratings, whether the instruction was followed and whether nothing else was changed",
        "pq": "PQ: the lower of two ratings, whether the image looks natural and whether it is free of artefacts",
        "group": "group of edits",
        "judged": "judging ended with",
    }
    columns = ("overall", "sc", "pq")
    cluster = "image"

    def open(self, folders: Sequence[Path]) -> Sequence[tuple[ParquetTable[GeditRecord], int]]:
        """The edits with instructions in the protocol's language, each by table and row."""
        (folder,) = folders
        files = sorted([*folder.rglob("*.arrow"), *folder.rglob("*.parquet")])
        table = ParquetTable(files, GeditRecord, image_column="input_image")
        return [
            (table, row) for row, record in enumerate(table) if record.instruction_language == self.options.protocol
        ]

    def parts(self, samples: Sequence[tuple[ParquetTable[GeditRecord], int]]) -> list[str]:
        """The groups of edits; the score is the mean over them."""
        return [table[place].task_type for table, place in samples]

    def rows(self, samples: Iterable[tuple[ParquetTable[GeditRecord], int]]) -> Iterator[Row]:
        """A row per edit; the result is as large as the input, as far as a model can make it so."""
        for table, place in samples:
            record, image = table[place], table.image(place)
            yield Row(
                id=f"{record.key}-{record.instruction_language}",
                question=record.instruction,
                kind="image",
                images=[image],
                dimensions={"group": record.task_type},
                # Several edits may be of one image.
                groups={"image": hashlib.sha256(image.tobytes()).hexdigest()[:16]},
                size=image.size,
            )

    def calls(self, row: Row, image: Image.Image) -> list[Call]:
        """SC with both images, and PQ with the edited one, which is first resized to the other's size."""
        (source,) = row.images
        edited = jpeg(image.resize(source.size, Image.Resampling.LANCZOS))
        followed = ROLE + FOLLOWED.format(instruction=row.question)
        return [
            Call(followed, [jpeg(source), edited], MAX_TOKENS, temperature=None),
            Call(ROLE + QUALITY, [edited], MAX_TOKENS, temperature=None),
        ]

    def read(self, row: Row, number: int, text: str) -> list[float] | None:
        """Two ratings from 0 to 10."""
        return ratings(text)

    def values(self, row: Row, read: Sequence[list[float]]) -> dict[str, float]:
        """The lower ratings, and their geometric mean."""
        sc, pq = (min(each) for each in read)
        return {"overall": math.sqrt(sc * pq), "sc": sc, "pq": pq}

    def metrics(self, rows: Sequence[Row]) -> list[Metric]:
        """Means over groups, whose sizes decide nothing; a group without any rated edit leaves no mean."""
        groups = sorted({row.dimensions["group"] for row in rows})
        about: dict[str, Any] = {"cluster": "image", "unit": "points of 10", "range": (0.0, 10.0)}
        over = {"strata": "group", "weights": dict.fromkeys(groups, 1.0), **about}
        judge = self.options.judge.name if self.options.judge else ""
        return [
            Metric("overall", f"GEdit ({judge})", "overall", RATED, headline=True, **over),
            Metric("sc", "GEdit SC", "sc", RATED, **over),
            Metric("pq", "GEdit PQ", "pq", RATED, **over),
            *(
                Metric(f"overall/{group}", f"GEdit {group}", "overall", {**RATED, "group": [group]}, **about)
                for group in groups
            ),
            *self.failures(),
        ]


def ratings(text: str) -> list[float] | None:
    """The two ratings of a reply, JSON with ``score`` or the list alone; None if there are not two from 0 to 10."""
    content = braced(text)
    found = content.get("score") if isinstance(content, dict) else None
    if found is None and "{" not in text:
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return None
    if not isinstance(found, list) or len(found) != 2:
        return None
    if any(isinstance(each, bool) or not isinstance(each, int | float) or not 0 <= each <= 10 for each in found):
        return None
    return [float(each) for each in found]
