"""HallusionBench (Guan et al. 2024, arXiv 2310.14566): is this statement about the image true, even if the image was
changed so that what one knows, or believes to see, is wrong?

Each question of a set is asked about several figures, an original and changed ones. Sets differ in whether the question
can be answered without the figure (VS, visual supplement) or not (VD, visual dependent). 14 questions ask for more than
yes or no. Sets are the unit of resampling: figures and questions cross in each.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from PIL import Image
from pydantic import Field

from sgt.config.benchmarks import FetchedBenchmark
from sgt.config.fields import Name
from sgt.data.records import REMEDY, ParquetTable, Record
from sgt.errors import SgtError
from sgt.evaluation import parsing
from sgt.evaluation.fetched_task import FetchedTask, Protocol, Sample, shown_together, token_limits
from sgt.evaluation.metrics import Metric
from sgt.evaluation.task import Parsed, Row

SUBCATEGORIES = {
    "VD": ("illusion", "figure", "ocr", "math", "video"),
    "VS": ("chart", "table", "map", "ocr"),
}
FIGURES = {"0": "none", "1": "original", "2": "changed"}
# Whether a question has an image.
IMAGE, TEXT = "image", "text"
# What the official judge says of a reply that neither agrees with the reference answer nor contradicts it.
UNCLEAR = "unclear"


class HallusionRecord(Record):
    """A row of the hub's copy, which has those without an image in a split of their own."""

    category: Literal["VD", "VS"]
    subcategory: str
    visual_input: Literal["0", "1", "2"]
    set_id: str
    figure_id: str
    question_id: str
    question: str
    gt_answer: Literal["0", "1"]
    filename: str | None = None

    @property
    def set(self) -> str:
        """Which set: numbers are used again in each subcategory, and ``ocr`` is one of both categories."""
        return f"{self.category}_{self.subcategory}_{self.set_id}"

    @property
    def id(self) -> str:
        """Set, figure and question."""
        return f"{self.set}_{self.figure_id}_{self.question_id}"


def _question(row: Row) -> str:
    return row.question


def _yes_or_no(row: Row) -> str:
    return f"{row.question} Please answer yes or no."


def _without_judge(row: Row, reply: str) -> Parsed:
    """What the official judge would say of plain replies.

    It compares every reply with a reference answer, as correct, incorrect or unclear. It is not asked here: a reply
    that says yes or no is read by our own rule, and any other is unclear, which is right where there is no figure.
    """
    parsed = parsing.yes_no(reply)
    unclear = parsed.value is None and row.dimensions["input"] == TEXT
    return Parsed(UNCLEAR, parsed.status) if unclear else parsed


def _yes_anywhere(row: Row, reply: str) -> Parsed:
    """The rule that lmms-eval has besides its judge, and does not use: "yes" anywhere, as in "eyes", means yes.

    Everything else means no, an empty reply too.
    """
    text = reply.lower()
    return Parsed("yes" if "yes" in text else "no", "direct" if text.strip(" .,!") in parsing.YES_NO else "text")


def _vlmevalkit(row: Row, reply: str) -> Parsed:
    """Without its judge, which is asked about replies that are neither."""
    return parsing.vlmevalkit_yes_no(reply)


# lmms-eval's limit. BAGEL's official evaluation does not have this benchmark, and the others set no limit.
_TOKENS = 128

PROTOCOLS = {
    "official": Protocol(_question, _without_judge, _TOKENS),
    # All printed numbers are shares of the 951 questions with an image, so most likely found by VLMEvalKit's rule.
    # Whether the study of SGT asked for yes or no in so many words is not known.
    "paper": Protocol(_question, _vlmevalkit, _TOKENS),
    "lmms-eval": Protocol(_question, _yes_anywhere, _TOKENS),
    "vlmevalkit": Protocol(_question, _vlmevalkit, _TOKENS),
    # As VLMEvalKit asks many models, though not BAGEL.
    "vlmevalkit-instructed": Protocol(_yes_or_no, _vlmevalkit, _TOKENS),
}


class HallusionBench(FetchedTask):
    """Right answers among all (aAcc), all of a figure (fAcc), all to a question about its figures (qAcc), their mean.

    The study of SGT prints aAcc, OpenCompass the mean of the three.
    """

    class Options(FetchedBenchmark):
        """Which protocol and which questions.

        Attributes:
            published_rows: those with an image.
        """

        token_limits = token_limits(PROTOCOLS)
        # 2: to vlmevalkit, "No,it is" says no.
        scoring_version = 2
        published_rows = 951

        task: Literal["hallusionbench"]
        protocol: Literal["official", "paper", "lmms-eval", "vlmevalkit", "vlmevalkit-instructed"]
        download: Name = "hallusionbench"
        without_image: bool = Field(False, description="also ask the 178 questions that have no image")

    options: Options
    name = "hallusionbench"
    explanations: ClassVar[Mapping[str, str]] = {
        **FetchedTask.explanations,
        "of_three": "mean of aAcc (questions), fAcc (figures) and qAcc (questions over all their figures)",
        "said_yes": "share of replies that are read as yes",
        "input": "what is given (with an image or as text alone)",
        "figure_kind": "figure (as it was or changed)",
    }
    protocols: ClassVar[Mapping[str, Protocol]] = PROTOCOLS

    def open(self, folders: Sequence[Path]) -> Sequence[Sample]:
        """A figure with its questions; after all figures, if it was chosen, each question without one."""
        (folder,) = folders
        shown = ParquetTable(sorted(folder.rglob("image-*.parquet")), HallusionRecord)
        _require_unique(shown)
        samples = shown_together(shown, lambda record: f"{record.set}_{record.figure_id} {record.filename}")
        if self.options.without_image:
            alone = ParquetTable(sorted(folder.rglob("non_image-*.parquet")), HallusionRecord, image_column=None)
            _require_unique(alone)
            samples += [Sample(list, [record]) for record in alone]
        return samples

    def parts(self, samples: Sequence[Sample]) -> list[str]:
        """The sub-categories, with a figure and without."""
        of_each = (sample.records[0] for sample in samples)
        return [f"{record.category} {record.subcategory} {record.visual_input}" for record in of_each]

    def row(self, record: HallusionRecord, images: Sequence[Image.Image]) -> Row:
        """Figure and question are numbers within the set."""
        return Row(
            id=record.id,
            question=record.question,
            kind="yesno",
            images=images,
            answer="yes" if record.gt_answer == "1" else "no",
            dimensions={
                "category": record.category,
                "subcategory": record.subcategory,
                "input": IMAGE if images else TEXT,
                "figure_kind": FIGURES[record.visual_input],
            },
            groups={
                "set": record.set,
                "figure": f"{record.set}_{record.figure_id}",
                "question": f"{record.set}_{record.question_id}",
            },
        )

    def score(self, row: Row, parsed: Parsed) -> dict[str, float]:
        """Who does not know what only a figure could tell is right where there is none: the official rule."""
        scored = {**super().score(row, parsed), "said_yes": float(parsed.value == "yes")}
        return {**scored, "accuracy": 1.0, "unread": 1.0} if parsed.value == UNCLEAR else scored

    def joint_columns(self, rows: Sequence[Row], items: Mapping[str, Sequence[Any]]) -> Mapping[str, list]:
        """``of_three``: its mean over questions with an image is that of the three scores, and its spread theirs too.

        What a figure's being all right adds to fAcc is divided among its questions, and likewise for qAcc.
        """
        places = [place for place, row in enumerate(rows) if row.dimensions["input"] == IMAGE]
        column = np.zeros(len(rows))
        if places:
            right = np.array([items["accuracy"][place] for place in places])
            grouped = [
                _shared_out(right, [items[group][place] for place in places]) for group in ("figure", "question")
            ]
            column[places] = (right + sum(grouped)) / 3
        return {"of_three": column.tolist()}

    def metrics(self, rows: Sequence[Row]) -> list[Metric]:
        """Of the questions with an image; if there are others, also of all, as is done officially.

        Questions without an image have no part in fAcc.
        """
        metrics = [
            _accuracy("aacc", "aAcc", headline=True),
            _all_right("facc", "fAcc", "figure"),
            _all_right("qacc", "qAcc", "question"),
            # Over a single stratum, because values that share out those of groups may be outside of [0, 1].
            Metric(
                "mean",
                "mean of aAcc, fAcc and qAcc",
                "of_three",
                {"input": [IMAGE]},
                strata="input",
                cluster="set",
            ),
        ]
        for category, subcategories in SUBCATEGORIES.items():
            where = {"category": [category]}
            metrics += [
                _accuracy(f"aacc/{category}", f"aAcc, {category}", where),
                _all_right(f"facc/{category}", f"fAcc, {category}", "figure", where),
                _all_right(f"qacc/{category}", f"qAcc, {category}", "question", where),
            ]
            metrics += [
                _accuracy(f"aacc/{category}-{each}", f"aAcc, {category} {each}", {**where, "subcategory": [each]})
                for each in subcategories
            ]
        metrics += [
            _accuracy(f"aacc/{kind}", f"aAcc, {kind} figures", {"figure_kind": [kind]})
            for kind in ("original", "changed")
        ]
        if any(row.dimensions["input"] == TEXT for row in rows):
            every = {"input": [IMAGE, TEXT]}
            metrics += [
                _accuracy("aacc/all", "aAcc, with questions without an image", every),
                _all_right("qacc/all", "qAcc, with questions without an image", "question", every),
            ]
        return [
            *metrics,
            Metric("yes_ratio", "share of yes", "said_yes", {"input": [IMAGE]}, cluster="set"),
            Metric("unread", "replies without answer", "unread", cluster="set", higher_is_better=False),
        ]


def _accuracy(
    name: str, title: str, where: Mapping[str, Sequence[str]] | None = None, headline: bool = False
) -> Metric:
    return Metric(name, title, "accuracy", {"input": [IMAGE], **(where or {})}, cluster="set", headline=headline)


def _all_right(name: str, title: str, group: str, where: Mapping[str, Sequence[str]] | None = None) -> Metric:
    where = {"input": [IMAGE], **(where or {})}
    return Metric(name, title, "accuracy", where, aggregation="all", group=group, cluster="set")


def _shared_out(right: np.ndarray, group_of: Sequence[str]) -> np.ndarray:
    """Per row, a value such that the mean of all is the share of groups that are all right.

    Its difference from that share is the row's part of what its group adds to it.
    """
    of = np.unique(group_of, return_inverse=True)[1]
    sizes = np.bincount(of)
    all_right = np.bincount(of, right) == sizes
    share = all_right.mean()
    return share + len(right) / len(sizes) * ((all_right - share) / sizes)[of]


def _require_unique(table: ParquetTable[HallusionRecord]) -> None:
    """Refuse questions that would count twice."""
    first: dict[str, int] = {}
    for place, record in enumerate(table):
        if first.setdefault(record.id, place) != place:
            raise SgtError(f"{table.where(place)}: question_id", f"{record.id} is there twice", REMEDY)
