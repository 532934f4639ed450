"""What changed: the questions that an arm fixed or broke against the control, with what was asked, shown and replied.

All are counted; a sample is shown, spread over the kinds of question. Rows of tasks that may not be redistributed are
counted and never shown.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest

import numpy as np
from PIL import Image

from sgt.atomic import sha256
from sgt.config.benchmarks import Benchmark, ImageBenchmark
from sgt.config.study import ARM_WITHOUT_PROXY
from sgt.errors import SgtError
from sgt.evaluation.predictions import prediction_file, read_predictions
from sgt.evaluation.task import AnyReply, Row
from sgt.evaluation.tasks import make_task
from sgt.models.requests import Reply
from sgt.reporting.contents import compared_arms
from sgt.reporting.drawings import Drawings
from sgt.reporting.pictures import small
from sgt.reporting.scores import Scores
from sgt.study.runs import Run

# How many questions the page shows in all, and how many images a question shows.
MAX_SHOWN, IMAGES = 120, 2
# Characters of a question or reply; what is longer is cut.
LONGEST = 400
FIXED, BROKE = "fixed", "broke"
# Column of right (1) and wrong (0) replies.
RIGHT = "accuracy"
# Of the questions of a benchmark without kinds.
ONE_KIND = "all questions"


@dataclass(frozen=True)
class Change:
    """A question that is right with one of two runs and wrong with the other.

    Attributes:
        change: ``fixed`` or ``broke``.
        before, after: the replies of the control and of the arm.
        images: as addresses that hold the image themselves.
        drawn: what control and arm drew of the same scene, if they did: labels and such addresses.
    """

    model: str
    arm: str
    benchmark: str
    kind: str
    change: str
    id: str
    question: str
    options: Sequence[str]
    answer: str
    before: str
    after: str
    images: Sequence[str]
    drawn: Sequence[tuple[str, str]] = ()

    @property
    def run(self) -> str:
        """The model and the arm."""
        return f"{self.model} {self.arm}"


@dataclass
class Changes:
    """What changed in a study.

    Attributes:
        counts: fixed and broken questions of the first seed, by (benchmark, kind), then (model, arm).
        totals: questions of each (benchmark, kind).
        pairs: the (model, arm) that are compared with the control.
        shown: a sample of them.
        not_shown: why those of a benchmark are not among them, a sentence each.
    """

    counts: dict[tuple[str, str], dict[tuple[str, str], tuple[int, int]]] = field(default_factory=dict)
    totals: dict[tuple[str, str], int] = field(default_factory=dict)
    pairs: list[tuple[str, str]] = field(default_factory=list)
    shown: list[Change] = field(default_factory=list)
    not_shown: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Flip:
    model: str
    arm: str
    id: str
    kind: str
    change: str
    was_drawn: bool


def may_be_shown(benchmark: Benchmark) -> bool:
    """Whether the rows of a benchmark may be redistributed, as the report does with those that it shows."""
    return make_task(benchmark).redistributable


def changes(scores: Scores) -> Changes:
    """What each compared arm changed against the control, with the first seed.

    Raises:
        SgtError: predictions are not those that were scored.
    """
    found = Changes()
    arms = compared_arms(scores.study)
    found.pairs = [(model, arm) for model in scores.study.study.models for arm in arms]
    answered = [
        benchmark
        for name, benchmark in scores.study.benchmarks.items()
        if not isinstance(benchmark, ImageBenchmark) and RIGHT in scores.files[scores.study.runs[0], name]["items"]
    ]
    groups = len(found.pairs) * len(answered) * 2
    for benchmark in answered if found.pairs else ():
        drawings = Drawings(scores, benchmark)
        flips = _count(scores, benchmark.name, found, drawings)
        if reason := _why_not_shown(scores, benchmark):
            found.not_shown.append(f"{benchmark.name}: {reason}")
            continue
        found.shown += _shown(scores, benchmark, _sampled(flips, max(1, MAX_SHOWN // groups)), drawings)
    del found.shown[MAX_SHOWN:]
    return found


def _count(scores: Scores, name: str, found: Changes, drawings: Drawings) -> list[_Flip]:
    """Count a benchmark's changes; returns each of them."""
    flips = []
    for model, arm in found.pairs:
        drawn = drawings.keys(_first(scores, model, arm))
        before, after = (scores.files[_first(scores, model, each), name]["items"] for each in (ARM_WITHOUT_PROXY, arm))
        kinds = _kinds(scores, name, before)
        for kind, total in Counter(kinds).items():
            found.totals[name, kind] = total
            found.counts.setdefault((name, kind), {})[model, arm] = (0, 0)
        scenes = before[_scene_column(scores, name)]
        for id_, kind, scene, was, now in zip(before["id"], kinds, scenes, before[RIGHT], after[RIGHT], strict=True):
            if was is None or now is None or was == now:
                continue
            fixed = now > was
            of_kind = found.counts[name, kind]
            of_kind[model, arm] = (of_kind[model, arm][0] + fixed, of_kind[model, arm][1] + (not fixed))
            flips.append(_Flip(model, arm, id_, kind, FIXED if fixed else BROKE, scene in drawn))
    return flips


def _kinds(scores: Scores, name: str, items: dict) -> list[str]:
    """The kind of each item: of the columns that metrics select items by, the one that divides them the most."""
    columns = {column for metric in scores.metrics(name) for column in metric.where}
    if not columns:
        return [ONE_KIND] * len(items["id"])
    return list(items[max(sorted(columns), key=lambda column: len(set(items[column])))])


def _scene_column(scores: Scores, name: str) -> str:
    """The column of what questions are about: the unit of resampling of a benchmark's first metric."""
    return scores.metrics(name)[0].cluster


def _first(scores: Scores, model: str, arm: str) -> Run:
    return scores.runs(model, arm)[0]


def _why_not_shown(scores: Scores, benchmark: Benchmark) -> str | None:
    """Why none of a benchmark's rows is shown; None if they may be and are there."""
    if not may_be_shown(benchmark):
        return "its questions and images may not be redistributed, so none is shown"
    runs = {_first(scores, model, arm) for model in scores.study.study.models for arm in scores.study.study.arms}
    file = prediction_file(benchmark)
    if not all((scores.study.prediction_dir(run, benchmark.name) / file).exists() for run in runs):
        return "its predictions are not here, so none is shown"
    if not all(folder.exists() for folder in scores.study.rows_dirs(benchmark)):
        return "its images are not here, so none is shown"
    return None


def _sampled(flips: Sequence[_Flip], per_group: int) -> list[_Flip]:
    """So many per model, arm and direction, of each kind in turn; the same questions first in every group.

    Those about scenes that the arm drew come before others.
    """
    groups: dict[tuple[str, str, str], dict[str, list[_Flip]]] = {}
    for flip in sorted(flips, key=lambda each: (not each.was_drawn, hashlib.sha256(each.id.encode()).digest())):
        groups.setdefault((flip.model, flip.arm, flip.change), {}).setdefault(flip.kind, []).append(flip)
    chosen = []
    for by_kind in groups.values():
        in_turn = chain.from_iterable(zip_longest(*by_kind.values()))
        chosen += [flip for flip in in_turn if flip is not None][:per_group]
    return sorted(chosen, key=lambda each: (each.model, each.arm, each.change == BROKE, each.kind, each.id))


def _shown(scores: Scores, benchmark: Benchmark, flips: Sequence[_Flip], drawings: Drawings) -> Iterator[Change]:
    wanted = {flip.id for flip in flips}
    runs = {(flip.model, arm) for flip in flips for arm in (flip.arm, ARM_WITHOUT_PROXY)}
    replies = {key: _replies(scores, benchmark, _first(scores, *key), wanted) for key in runs}
    images = _images(scores, benchmark, wanted)
    for flip in flips:
        row, after = replies[flip.model, flip.arm][flip.id]
        _, before = replies[flip.model, ARM_WITHOUT_PROXY][flip.id]
        yield Change(
            flip.model,
            flip.arm,
            benchmark.name,
            flip.kind,
            flip.change,
            flip.id,
            _cut(row.question),
            [_cut(option) for option in row.options or ()],
            _cut(row.answer or ""),
            _said(row, before),
            _said(row, after),
            images[flip.id],
            [
                drawn
                for arm in (ARM_WITHOUT_PROXY, flip.arm)
                for drawn in drawings.of(_first(scores, flip.model, arm), row.groups.values())
            ],
        )


def _replies(scores: Scores, benchmark: Benchmark, run: Run, wanted: set[str]) -> dict[str, tuple[Row, AnyReply]]:
    path = scores.study.prediction_dir(run, benchmark.name) / prediction_file(benchmark)
    if sha256(path) != scores.files[run, benchmark.name]["hashes"]["predictions"]:
        raise SgtError(path, "not the predictions that were scored", "run `sgt predict` and `sgt score` again")
    return {row.id: (row, reply) for row, reply in read_predictions(path) if row.id in wanted}


def _said(row: Row, reply: AnyReply) -> str:
    """A reply's text; of rated options the likeliest."""
    if isinstance(reply, Reply):
        return _cut(reply.text)
    if isinstance(reply, Image.Image) or not row.options:
        return ""
    return _cut(row.options[int(np.argmax([each.logprob for each in reply]))])


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"


def _images(scores: Scores, benchmark: Benchmark, wanted: set[str]) -> dict[str, list[str]]:
    """The images of some rows, small; what comes after the last of them is not decoded."""
    task = make_task(benchmark)
    found: dict[str, list[str]] = {}
    samples = task.samples(scores.study.rows_dirs(benchmark))
    for place in range(len(samples)):
        if len(found) == len(wanted):
            break
        for row in task.rows([samples[place]]):
            if row.id in wanted:
                found[row.id] = [small(image) for image in row.images[:IMAGES]]
    return found
