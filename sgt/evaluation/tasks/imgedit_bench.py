"""ImgEdit-Bench, its Basic suite (Ye et al. 2025, arXiv 2505.20275): nine types of edits of 171 images.

A judge rates each edit by three criteria of its type from 1 to 5. The criteria, scales, images and form of the reply
are the published ones, the words of the rubrics are ours: scores compare arms, not printed numbers.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from PIL import Image

from sgt.config.fields import Name
from sgt.config.judges import JudgedEditBenchmark
from sgt.data.records import Record, checked
from sgt.data.tar_images import TarImages
from sgt.errors import SgtError
from sgt.evaluation.evaluators.judge_calls import Call, png
from sgt.evaluation.judged_task import RATED, JudgedImageTask
from sgt.evaluation.metrics import Metric
from sgt.evaluation.task import Row

EditType = Literal["extract", "style", "add", "adjust", "background", "replace", "remove", "action", "compose"]
TYPES: tuple[str, ...] = get_args(EditType)
# lmms-eval's limit; the published scorer states none.
MAX_TOKENS = 512
CRITERIA = ("Prompt Compliance", "Visual Naturalness", "Physical & Detail Integrity")
CRITERIA_OF = {
    "style": ("Style Fidelity", "Content Preservation", "Rendering Quality"),
    "adjust": ("Prompt Compliance", "Visual Seamlessness", "Physical & Detail Fidelity"),
}
# What the instruction of each type is about, which the first criterion rates.
WANTED = {
    "extract": "the named thing alone is shown, whole and as it was, on a plain background",
    "style": "the whole image is in the named style",
    "add": "the named thing was added, where and as it was to be",
    "adjust": "the named thing has the named attribute, and is the same thing",
    "background": "the background is the named one, and what stands before it is as it was",
    "replace": "the named thing was replaced by the other, where it was",
    "remove": "the named thing is gone, and what was behind it is filled in",
    "action": "who is named does what is named, and is still the same",
    "compose": "every part of an instruction with several is done",
}


class ImgEditRecord(Record):
    """An entry of the published file, without its key."""

    id: str
    prompt: str
    edit_type: EditType


class ImgEditBench(JudgedImageTask):
    """The mean of three ratings of each edit, over all edits."""

    class Options(JudgedEditBenchmark):
        """Two downloads: images, and the edits that are to be made of them."""

        published_rows = 737

        task: Literal["imgedit-bench"]
        protocol: Literal["official"] = "official"
        download: Name = "imgedit-bench"
        edits_download: Name = "imgedit-edits"

        @property
        def data_downloads(self) -> tuple[str, ...]:
            """The tar of images, and the file of edits."""
            return (self.download, self.edits_download)

    name = "imgedit-bench"
    explanations: ClassVar[Mapping[str, str]] = {
        **JudgedImageTask.explanations,
        "score": "mean of three ratings of each edit: whether it was made, how natural it is, and how whole the rest",
        "type": "type of edit",
        "judged": "judging ended with",
    }
    columns = ("score",)
    cluster = "image"

    def open(self, folders: Sequence[Path]) -> Sequence[tuple[TarImages, str, ImgEditRecord]]:
        """The edits, in the order of the file, each with its key and the images.

        Raises:
            SgtError: a file is missing or not as it must be.
        """
        images, edits = folders
        path = edits / "basic_edit.json"
        try:
            entries = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError, RecursionError) as error:
            raise SgtError(path, f"not readable as JSON ({error})", "fetch it again") from None
        if not isinstance(entries, dict):
            raise SgtError(path, "not an object of edits by their keys", "fetch it again, or another revision")
        tar = TarImages(images / "Benchmark.tar")
        return [(tar, key, checked(ImgEditRecord, each, f"{path}: {key}")) for key, each in entries.items()]

    def parts(self, samples: Sequence[tuple[TarImages, str, ImgEditRecord]]) -> list[str]:
        """The types of edits."""
        return [record.edit_type for *_, record in samples]

    def rows(self, samples: Iterable[tuple[TarImages, str, ImgEditRecord]]) -> Iterator[Row]:
        """A row per edit; the result is as large as the input, as far as a model can make it so."""
        for tar, key, record in samples:
            image = tar.image(record.id)
            yield Row(
                id=key,
                question=record.prompt,
                kind="image",
                images=[image],
                dimensions={"type": record.edit_type},
                groups={"image": record.id},
                size=image.size,
            )

    def calls(self, row: Row, image: Image.Image) -> list[Call]:
        """One, with the image as it was and as it was made."""
        (source,) = row.images
        return [Call(rubric(row.dimensions["type"], row.question), [png(source), png(image)], MAX_TOKENS, None)]

    def read(self, row: Row, number: int, text: str) -> list[int] | None:
        """Three ratings from 1 to 5."""
        return ratings(text, criteria_of(row.dimensions["type"]))

    def values(self, row: Row, read: Sequence[list[int]]) -> dict[str, float]:
        """Their mean, rounded as the published scorer does it."""
        return {"score": round(sum(read[0]) / len(read[0]), 2)}

    def metrics(self, rows: Sequence[Row]) -> list[Metric]:
        """The mean over edits, that over types, and of each type."""
        types = [each for each in TYPES if any(row.dimensions["type"] == each for row in rows)]
        about: dict[str, Any] = {"cluster": "image", "unit": "points of 5", "range": (1.0, 5.0)}
        judge = self.options.judge.name if self.options.judge else ""
        weights = dict.fromkeys(types, 1.0)
        return [
            Metric("overall", f"ImgEdit ({judge})", "score", RATED, headline=True, **about),
            Metric("types", "ImgEdit, mean of types", "score", RATED, strata="type", weights=weights, **about),
            *(Metric(f"type/{each}", f"ImgEdit {each}", "score", {**RATED, "type": [each]}, **about) for each in types),
            *self.failures(),
        ]


def criteria_of(edit_type: str) -> tuple[str, ...]:
    """Names of the three criteria of a type of edit."""
    return CRITERIA_OF.get(edit_type, CRITERIA)


def rubric(edit_type: str, instruction: str) -> str:
    """The question about an edit of a type."""
    first, second, third = criteria_of(edit_type)
    return (
        "You rate edits of images. The first image was edited, and the second is the result.\n"
        f"Instruction: {instruction}\n"
        "Rate three things from 1 (not at all) to 5 (perfectly).\n"
        f"{first}: {WANTED[edit_type]}.\n"
        f"{second}: no seams, distortions or other traces of the edit are to be seen.\n"
        f"{third}: what was not to be changed is as it was, and light, space and matter are as they can be.\n"
        "The second and the third rating must not be above the first.\n"
        f"Give one short reason, and then exactly three lines:\n{first}: N\n{second}: N\n{third}: N"
    )


def ratings(text: str, criteria: Sequence[str]) -> list[int] | None:
    """The rating of each criterion, from lines ``Name: N``; None unless each has one from 1 to 5."""
    found = []
    for name in criteria:
        lines = re.findall(rf"(?im)^\W*{re.escape(name)}\W*[:：]\W*(\d+)(?:\s*/\s*5)?\W*$", text)
        if len(lines) != 1 or not 1 <= int(lines[0]) <= 5:
            return None
        found.append(int(lines[0]))
    return found
