"""SIBench (Yu et al. 2025, arXiv 2509.18905): visual spatial intelligence in 23 settings from some 20 public sets.

Each setting is a TSV of questions about an image, several views or a video: multiple choice, yes or no, or a number. A
number scores by mean relative accuracy (MRA), of ten tolerances the share that it meets, or, where it counts, by
equality. The published code scores one setting at a time; of all settings together it makes the plain mean. Which mean
SGT prints, and of which rows, is not known: there are the mean over questions and that over settings, of the full and
the small set, with and without several views and videos.

Protocols ask the same. ``official`` reads by the published rules; its judge, a language model that is asked for the
letter in replies that do not begin with one, is not called, so these have no answer. ``paper`` reads such replies by
our own rules, since SGT's first author wrote the benchmark, and its runs had a judge. ``own`` reads all by our rules.

Of the published rules these faults are kept. "A apple" and "B) left" are wrong letters. Yes and no are looked for in
the first three characters, so that "**Yes**" is wrong. A reply is no number if anything stands beside it ("about 3 m"),
and then counts as -1, which may be the answer. MRA divides by the answer itself, so that every number is right where
the answer is negative, and none where it is 0. Where the published code would stop with an error, as at an empty reply,
there is no answer. Arithmetic of two numbers ("1/2") is worked out, where the published code runs the reply.

Videos are read as frames: images in a folder of the video's name without its suffix, below ``data_sampled_video``. The
published code writes the frames of every video of a source into the same files, and uses those that are there: it asks
all questions about videos of one source about the frames of the first. That is not repeated here.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

from PIL import Image

from sgt.config.benchmarks import FetchedBenchmark
from sgt.config.fields import Name
from sgt.data.frames import evenly_spaced, frames_of_videos
from sgt.data.names import parts_of
from sgt.data.records import REMEDY, ImageFiles, Record, read_tsv_records
from sgt.errors import SgtError
from sgt.evaluation import parsing
from sgt.evaluation.fetched_task import FetchedTask, Protocol, Sample, pictures, token_limits
from sgt.evaluation.metrics import Metric
from sgt.evaluation.numeric import arithmetic, mean_relative_accuracy
from sgt.evaluation.task import Kind, Parsed, Row
from sgt.models.requests import Request

# As their files are called, capitals included.
SETTINGS = (
    "relative_distance", "Reach_Prediction", "Object_Shape", "Height", "Existence", "Spatial_Compatibility",
    "Coordinate_Conversion", "Counting", "Route_Planning", "Trajectory_Description", "Geometric_Reasoning",
    "Spatial_Imagination", "Object_Size_Estimation", "Spatial_Grid", "Situational_QA", "Velocity_Acceleration",
    "Maze_Navigation", "Temporal-Appearance_Order", "Camera_Pose", "Occlusion", "multi-view_reasoning",
    "Object_Localization", "Spatial_Relation",
)  # fmt: skip
INPUTS = ("image", "multi-view", "video")
# The sources whose questions do not say how to answer.
INSTRUCTED = {
    "vstibench", "MMSI-Bench", "3DSRBench", "OmniSpatial", "Spatial-MM", "SpatialMQA", "VSI-Bench", "STI-Bench",
    "SpatialEval", "SITE-Bench", "SPHERE-VLM", "SRBench", "BLINK",
}  # fmt: skip
INSTRUCTIONS: Mapping[Kind, str] = {
    "mcq": "\nSelect from the given options, answer with letters only.",
    "yesno": "\nAnswer with 'Yes' or 'No' only.",
    "number": "\nAnswer using a single number and nothing else.",
}
KINDS: Mapping[str, Kind] = {"MCQ": "mcq", "YN": "yesno", "Number": "number", "Number_Int": "number"}
# The published rules know options up to F.
LETTERED = 6
UNKNOWN_OPTIONS = ("",) * LETTERED
FRAMES = 30
# What the published code takes a reply for that is no number.
NO_NUMBER = -1.0
# Where files lie in the download: the full set's, the small set's, and those of videos, each cut to 30 frames.
SMALL, VIDEOS = "SIBench-mini", "data_sampled_video"


class SiBenchRecord(Record):
    """A row of a setting's TSV."""

    index: str
    question: str
    answer: str
    type: Literal["MCQ", "YN", "Number", "Number_Int"]
    data_source: str
    input_type: Literal["image", "multi-view", "video"]
    image_path: str | None = None
    video_path: str | None = None


class Question(NamedTuple):
    """A record with its setting.

    Attributes:
        setting: whose file has it.
        where: its file and row, for messages.
        record: as published.
        shows: names of its images with commas between them, or that of its video.
        options: texts of the options that stand in the question; None if they cannot be told.
        answer: a letter; yes, no or another text in lower case; or a number, as written.
    """

    setting: str
    where: str
    record: SiBenchRecord
    shows: str
    options: list[str] | None
    answer: str


def _asked(row: Row) -> str:
    frames = f"""
You will receive {FRAMES} distinct frames that have been uniformly sampled from a video sequence, \
arranged in the same temporal order as they appear in the video.
Please analyze these frames and answer the question based on your observations.
"""
    before = frames if row.dimensions["input"] == "video" else ""
    after = INSTRUCTIONS[row.kind] if row.dimensions["source"] in INSTRUCTED else ""
    return before + row.question + after


def _read_as_published(row: Row, reply: str) -> Parsed:
    """By the published code, without its judge."""
    match row.kind:
        case "mcq":
            return Parsed(None, "none") if _is_judged(reply) else _published_letter(reply)
        case "number":
            value = arithmetic(reply)
            return Parsed(NO_NUMBER, "none") if value is None else Parsed(value, "direct")
    return _published_yes_no(row, reply)


def _read_as_paper(row: Row, reply: str) -> Parsed:
    """By the published code, with our own rules in the place of its judge."""
    if row.kind == "mcq" and _is_judged(reply):
        return parsing.letter(reply, row.options or UNKNOWN_OPTIONS)
    return _read_as_published(row, reply)


def _read_as_our_own(row: Row, reply: str) -> Parsed:
    match row.kind:
        case "mcq":
            return parsing.letter(reply, row.options or UNKNOWN_OPTIONS)
        case "number":
            return parsing.number(reply)
    return parsing.yes_no(reply) if row.answer in parsing.YES_NO else _published_yes_no(row, reply)


def _is_judged(reply: str) -> bool:
    """Whether the published code asks its judge for the letter, because the reply does not begin with one."""
    return not (reply[:1] in tuple(parsing.LETTERS[:LETTERED]) or "(" in reply[:3])


def _published_letter(reply: str) -> Parsed:
    said = reply[1:2] if "(" in reply[:3] else reply
    letter = said.split(".")[0].split(":")[0]
    return parsing.found(letter if letter in tuple(parsing.LETTERS) else None, "direct" if len(reply) <= 3 else "text")


def _published_yes_no(row: Row, reply: str) -> Parsed:
    """The first three characters; the whole reply where the answer is neither yes nor no."""
    if row.answer in parsing.YES_NO:
        said = _first_three(reply)
        return parsing.found(said if said in parsing.YES_NO else None, "direct" if len(reply) <= 4 else "text")
    return parsing.found(reply.strip().lower() or None)


def _first_three(text: str) -> str:
    return re.sub(r"[^\w\s]", "", text[:3].strip().lower())


PROTOCOLS = {
    "official": Protocol(_asked, _read_as_published, 100),
    "paper": Protocol(_asked, _read_as_paper, 100),
    "own": Protocol(_asked, _read_as_our_own, 100),
}


class SiBench(FetchedTask):
    """The score, which is accuracy or MRA: of all questions, as the mean of settings, of each setting and input."""

    class Options(FetchedBenchmark):
        """Which rows, and which protocol."""

        token_limits = token_limits(PROTOCOLS)
        # Not verified: what is said of the full set.
        published_rows = 8800
        # 2: an article is no letter.
        scoring_version = 2

        task: Literal["sibench"]
        part: Literal["full", "mini"] = "full"
        inputs: Literal["image", "all"]
        protocol: Literal["official", "paper", "own"]
        download: Name = "sibench"

    name = "sibench"
    explanations: ClassVar[Mapping[str, str]] = {
        **FetchedTask.explanations,
        "score": "share of questions whose reply is right; of a number, its mean relative accuracy",
        "input": "what is shown",
    }
    protocols = PROTOCOLS
    options: Options

    def open(self, folders: Sequence[Path]) -> Sequence[Sample]:
        """What is shown, with all questions about it in one setting."""
        (folder,) = folders
        tables = folder / ("data" if self.options.part == "full" else SMALL)
        images, frames = ImageFiles(folder / "data", whole_names=True), ImageFiles(folder / VIDEOS, whole_names=True)
        of_video = frames_of_videos(folder / VIDEOS)
        together: dict[tuple[str, str], list[Question]] = {}
        for setting in SETTINGS:
            file = tables / f"{setting}.tsv"
            for number, record in enumerate(read_tsv_records(file, SiBenchRecord)):
                if record.input_type == "image" or self.options.inputs == "all":
                    question = _question(setting, f"{file}: row {number}", record)
                    together.setdefault((setting, question.shows), []).append(question)
        samples = []
        for questions in together.values():
            where, shows = questions[0].where, questions[0].shows
            if questions[0].record.input_type == "video":
                show = partial(pictures, frames, _sampled(of_video, shows, where), f"{where}: video_path")
            else:
                show = partial(pictures, images, shows.split(","), f"{where}: image_path")
            samples.append(Sample(show, questions))
        return samples

    def parts(self, samples: Sequence[Sample]) -> list[str]:
        """The settings, each of which has a file."""
        return [sample.records[0].setting for sample in samples]

    def row(self, record: Question, images: Sequence[Image.Image]) -> Row:
        """The id has the setting, since questions are numbered in each."""
        content = record.record
        return Row(
            id=f"{record.setting}-{content.index}",
            question=content.question,
            kind=KINDS[content.type],
            images=images,
            options=record.options,
            answer=record.answer,
            dimensions={"setting": record.setting, "source": content.data_source, "input": content.input_type},
            groups={"image": record.shows},
            extra={"counts": content.type == "Number_Int", "number": arithmetic(record.answer)},
        )

    def request(self, row: Row, protocol: str) -> Request:
        """Images before the text, frames of a video after it, as the published code orders them."""
        text = self.protocols[protocol].prompt(row)
        if row.dimensions["input"] == "video":
            return Request([text, *row.images], self.options.system)
        return Request([*row.images, text], self.options.system)

    def score(self, row: Row, parsed: Parsed) -> dict[str, float]:
        """``score``: 1 if the answer is right, of a number its MRA; ``unread``: 1 if no answer was found."""
        score = float(parsed.value == row.answer)
        if row.kind == "number":
            score = 0.0 if parsed.value is None else self._of_number(row, parsed.value)
        return {"score": score, "unread": float(parsed.status in ("none", "ambiguous"))}

    def _of_number(self, row: Row, value: float) -> float:
        answer = row.extra["number"]
        if row.extra["counts"]:
            return float(value == answer)
        return mean_relative_accuracy(answer, value, published=self.options.protocol != "own")

    def metrics(self, rows: Sequence[Row]) -> list[Metric]:
        """Settings are fixed: questions are resampled within each."""
        counts = Counter(row.dimensions["setting"] for row in rows)
        weights = {setting: float(count) for setting, count in counts.items()}
        return [
            self._score("score", "score", strata="setting", weights=weights, headline=True),
            self._score("score/macro", "score, mean of settings", strata="setting"),
            *(self._score(f"score/{each}", f"score, {each}", where={"setting": [each]}) for each in SETTINGS),
            *(self._score(f"score/{each}", f"score, {each}", where={"input": [each]}) for each in INPUTS),
            Metric("unread", "replies without answer", "unread", cluster="image", higher_is_better=False),
        ]

    def _score(self, name: str, title: str, **chosen) -> Metric:
        return Metric(name, title, "score", cluster="image", unit="score", **chosen)


def options_in(question: str) -> list[str] | None:
    """The texts of the options that a question ends with, lettered from A; None if there are not two."""
    marks = list(re.finditer(r"(?:^|(?<=[\s,;]))\(?([A-Z])[.):]\)?\s*", question))
    letters = "".join(mark[1] for mark in marks)
    start = letters.rfind("AB")
    if start < 0 or not parsing.LETTERS.startswith(letters[start:]):
        return None
    marks = marks[start:]
    ends = [*(mark.start() for mark in marks[1:]), len(question)]
    return [question[mark.end() : end].strip(" \t\r\n,;") for mark, end in zip(marks, ends, strict=True)]


def _question(setting: str, where: str, record: SiBenchRecord) -> Question:
    """A record and what is taken from it.

    Raises:
        SgtError: it shows nothing, or its answer is no option's letter, or no number.
    """
    field = "video_path" if record.input_type == "video" else "image_path"
    shows = "".join((getattr(record, field) or "").split())
    if not shows:
        raise SgtError(f"{where}: {field}", f"missing, and input_type is {record.input_type}", REMEDY)
    kind, answer, options = KINDS[record.type], record.answer.strip(), None
    if kind == "mcq":
        options = options_in(record.question)
        letters = tuple(parsing.LETTERS[: len(options)] if options else parsing.LETTERS)
        if answer not in letters:
            raise SgtError(f"{where}: answer", f"{answer!r} is none of {', '.join(letters)}", REMEDY)
    elif kind == "number":
        if arithmetic(answer) is None:
            raise SgtError(f"{where}: answer", f"{answer!r} is no number", REMEDY)
    else:
        answer = _first_three(answer) if _first_three(answer) in parsing.YES_NO else answer.lower()
    return Question(setting, where, record, shows, options, answer)


def _sampled(of_video: Mapping[str, Sequence[str]], video: str, where: str) -> list[str]:
    """Names of 30 frames of a video, evenly spaced as the published code takes them."""
    folder = "/".join(parts_of(video)).rpartition(".")[0]
    frames = of_video.get(folder, [])
    if not frames:
        missing = f"no frames of {video!r} in {VIDEOS}/{folder}"
        raise SgtError(f"{where}: video_path", missing, "write them there: `ffmpeg -i VIDEO.mp4 VIDEO/%d.png`")
    return [f"{folder}/{frame}" for frame in evenly_spaced(frames, FRAMES)]
