"""VSR, Visual Spatial Reasoning (Liu et al. 2022, arXiv 2205.00363): is what a caption says about two things true?

Each row is a caption that places one thing relative to another in an image of COCO 2017, and whether it is true. There
are two test sets, which published tables mix: ``random`` (2,195 rows) and ``zeroshot`` (1,222 rows about concepts that
its training set lacks). All numbers of SGT's own rows are whole numbers of 2,113: the rows of ``random`` whose image is
in train2017, here ``random-train2017``. Rows of other models in the same table are of ``zeroshot``.

No wording is published: VSR's own models are classifiers. What SGT asked is not known, nor what VLMEvalKit's table of
VSR asks, so that all protocols but ``true-false`` ask with a wording of ours and differ in how they read. Precision,
recall and F1 are those of the answer yes.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

from PIL import Image

from sgt.config.benchmarks import FetchedBenchmark
from sgt.config.fields import Name
from sgt.data.records import REMEDY, ImageFiles, Record, read_json_records
from sgt.errors import SgtError
from sgt.evaluation import parsing
from sgt.evaluation.fetched_task import FetchedTask, Protocol, Sample, pictures, token_limits
from sgt.evaluation.metrics import Metric
from sgt.evaluation.task import Parsed, Row

SOURCES = ("train2017", "val2017")
PUBLISHED_ROWS = {"random-train2017": 2113, "random": 2195, "zeroshot": 1222}


class VsrRecord(Record):
    """A line of test.jsonl; the zero-shot set alone names the subject."""

    image: str
    image_link: str
    caption: str
    label: Literal[0, 1]
    relation: str
    subj: str | None = None


class Caption(NamedTuple):
    """A record with its line in the file, from 0, and the folder of COCO that has its image."""

    line: int
    source: str
    record: VsrRecord


def _yes_or_no(row: Row) -> str:
    return f"{row.question}\nIs this statement true according to the image? Answer yes or no."


def _true_or_false(row: Row) -> str:
    return f"{row.question}\nIs this statement true or false according to the image? Answer true or false."


PROTOCOLS = {
    "paper": Protocol(_yes_or_no, lambda row, reply: parsing.yes_no(reply), 100),
    # As BAGEL's own evaluation, which SGT's is a copy of, reads POPE.
    "pope": Protocol(_yes_or_no, lambda row, reply: parsing.pope_official(reply), 100),
    # Without its judge, which is asked about replies that are neither.
    "vlmevalkit": Protocol(_yes_or_no, lambda row, reply: parsing.vlmevalkit_yes_no(reply), 100),
    "true-false": Protocol(_true_or_false, lambda row, reply: parsing.true_false(reply), 100),
}


class Vsr(FetchedTask):
    """Accuracy, and what VLMEvalKit prints besides: precision, recall and F1."""

    class Options(FetchedBenchmark):
        """Which rows, and which protocol."""

        token_limits = token_limits(PROTOCOLS)
        # 2: to vlmevalkit, "No,it is" says no.
        scoring_version = 2

        task: Literal["vsr"]
        split: Literal["random-train2017", "random", "zeroshot"]
        protocol: Literal["paper", "pope", "vlmevalkit", "true-false"]
        images: Name = "coco-2017"

        @property
        def published_rows(self) -> int:  # type: ignore[override]
            """Of the split."""
            return PUBLISHED_ROWS[self.split]

        @property
        def data_downloads(self) -> tuple[str, ...]:
            """The one with the rows, and COCO's images."""
            return (self.download, self.images)

    name = "vsr"
    explanations: ClassVar[Mapping[str, str]] = {
        **FetchedTask.explanations,
        "true_yes/said_yes": "precision of the answer yes: share of captions that are read as true and are",
        "true_yes/true": "recall of the answer yes: share of true captions that are read as true",
        "twice_true_yes/yeses": "F1 of the answer yes, to whether the caption is true of the image",
        "said_yes": "share of replies that are read as yes",
        "source": "folder of COCO that the image is from",
    }
    protocols = PROTOCOLS
    options: Options

    def open(self, folders: Sequence[Path]) -> Sequence[Sample]:
        """An image with all captions about it."""
        folder, images = folders
        file = folder / "test.jsonl"
        of_image: dict[str, list[Caption]] = {}
        for line, record in enumerate(read_json_records(file, VsrRecord)):
            source = self._source(record, f"{file}: record {line}")
            if source == "train2017" or self.options.split != "random-train2017":
                of_image.setdefault(f"{source}/{record.image}", []).append(Caption(line, source, record))
        files = ImageFiles(images)
        return [
            Sample(partial(pictures, files, [name], f"{file}: record {captions[0].line}: image"), captions)
            for name, captions in of_image.items()
        ]

    def _source(self, record: VsrRecord, where: str) -> str:
        """The folder of COCO that has the image.

        Raises:
            SgtError: there is none, or the record is of the other test set.
        """
        if (record.subj is not None) != (self.options.split == "zeroshot"):
            problem = f"{'missing' if record.subj is None else 'there'}, so this is not the split {self.options.split}"
            raise SgtError(f"{where}: subj", problem, "let `download` name the one with the rows of `split`")
        for source in SOURCES:
            if f"/{source}/" in record.image_link:
                return source
        raise SgtError(f"{where}: image_link", f"{record.image_link!r} has none of {', '.join(SOURCES)}", REMEDY)

    def row(self, record: Caption, images: Sequence[Image.Image]) -> Row:
        """A row has the same id in ``random`` and in its part ``random-train2017``."""
        line, source, content = record
        test_set = self.options.split.removesuffix("-train2017")
        return Row(
            id=f"{test_set}-{line}",
            question=content.caption,
            kind="yesno",
            images=images,
            answer="yes" if content.label else "no",
            dimensions={"split": test_set, "source": source, "relation": content.relation},
            groups={"image": content.image},
        )

    def coco_image(self, row: Row) -> str:
        """All are of train2017 or val2017."""
        return row.groups["image"]

    def score(self, row: Row, parsed: Parsed) -> dict[str, float]:
        """Besides accuracy, what precision, recall and F1 are ratios of; a reply without an answer is not a yes."""
        true, said_yes = row.answer == "yes", parsed.value == "yes"
        return {
            **super().score(row, parsed),
            "true": float(true),
            "said_yes": float(said_yes),
            "true_yes": float(true and said_yes),
            "twice_true_yes": 2.0 * (true and said_yes),
            "yeses": float(true + said_yes),
        }

    def metrics(self, rows: Sequence[Row]) -> list[Metric]:
        """Accuracy of all rows and by COCO's folder, and those of the answer yes."""
        return [
            Metric("accuracy", "accuracy", "accuracy", cluster="image", headline=True, abilities=["perception"]),
            *(
                Metric(f"accuracy/{source}", f"accuracy, {source}", "accuracy", {"source": [source]}, cluster="image")
                for source in SOURCES
            ),
            Metric("precision", "precision", "true_yes", over="said_yes", cluster="image"),
            Metric("recall", "recall", "true_yes", over="true", cluster="image"),
            Metric("f1", "F1", "twice_true_yes", over="yeses", cluster="image", unit="F1"),
            Metric("yes_ratio", "share of yes", "said_yes", cluster="image"),
            Metric("unread", "replies without answer", "unread", cluster="image", higher_is_better=False),
        ]
