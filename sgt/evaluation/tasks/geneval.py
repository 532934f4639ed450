"""GenEval (Ghosh et al. 2023, arXiv 2310.11513): are the objects of a prompt in the image, as many, so coloured, there?

553 prompts of six kinds. A detector lists the objects in an image, a classifier names the colours of those that a
prompt gives one, and rules decide (:mod:`sgt.evaluation.geneval_rules`). The protocol ``short`` has the published
prompts, ``long`` those that BAGEL's authors had a language model rewrite: they describe the objects at length and ask
for the same. Images of a prompt are not independent: the prompt is the unit of resampling.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from sgt.config.benchmarks import FetchedImageBenchmark
from sgt.config.fields import Count, Folder
from sgt.data.records import REMEDY, Record, read_json_records
from sgt.errors import SgtError
from sgt.evaluation.evaluators.coco_classes import CLASSES
from sgt.evaluation.evaluators.objects_and_colours import VERSION, ObjectsAndColours
from sgt.evaluation.geneval_rules import COUNTING, COUNTING_THRESHOLD, Colour, Relation, is_right, threshold_of
from sgt.evaluation.metrics import Metric
from sgt.evaluation.task import Judgement, Parsed, Row, Task

PROMPTS = 553
FILES = {"short": "evaluation_metadata.jsonl", "long": "evaluation_metadata_long.jsonl"}
Tag = Literal["single_object", "two_object", "counting", "colors", "position", "color_attr"]
TITLES: dict[Tag, str] = {
    "single_object": "single object",
    "two_object": "two objects",
    "counting": "counting",
    "colors": "colours",
    "position": "position",
    "color_attr": "colours of two objects",
}
# How far the threshold of counting is moved: it was chosen for the scores of another detector.
SHIFT = 0.05


def _class(name: str) -> str:
    if name not in CLASSES:
        raise ValueError(f"{name!r} is not one of GenEval's {len(CLASSES)} classes")
    return name


ClassName = Annotated[str, AfterValidator(_class), Field(alias="class")]


class Excluded(Record):
    """So many objects of a class are too many."""

    name: ClassName
    count: Count


class Included(Excluded):
    """At least so many objects of a class, of a colour, and placed relative to those of an earlier entry."""

    color: Colour | None = None
    position: tuple[Relation, Annotated[int, Field(ge=0)]] | None = None


class Prompt(Record):
    """A line of the published metadata."""

    tag: Tag
    include: Annotated[list[Included], Field(min_length=1)]
    exclude: tuple[Excluded, ...] = ()
    prompt: Annotated[str, Field(min_length=1)]

    @model_validator(mode="after")
    def _targets_come_first(self) -> "Prompt":
        for place, entry in enumerate(self.include):
            if entry.position is not None and entry.position[1] >= place:
                raise ValueError(
                    f"entry {place} is placed relative to entry {entry.position[1]}, which is not before it"
                )
        return self


@dataclass(frozen=True)
class Numbered:
    """A prompt with its line in the file, from 0."""

    line: int
    prompt: Prompt


class GenEval(Task[Judgement]):
    """The share of right images, by kind of prompt, and the mean of the six kinds."""

    class Options(FetchedImageBenchmark):
        """Which prompts, and what the images are read with."""

        judged = True
        judging_version = VERSION

        task: Literal["geneval"]
        protocol: Literal["short", "long"]
        images: Count = Field(1, description="of each prompt, from seeds that follow each other")
        detector: Folder = Field(
            "downloads/mask2former-swin-small-coco", description="folder of the fetched model that finds objects"
        )
        classifier: Folder = Field(
            "downloads/clip-vit-large-patch14", description="folder of the fetched model that names colours"
        )

        @property
        def published_rows(self) -> int:  # type: ignore[override]
            """An image or several of each prompt."""
            return PROMPTS * self.images

        @property
        def downloads(self) -> tuple[str, ...]:
            """Detector and classifier."""
            return (self.detector, self.classifier)

    name = "geneval"
    explanations: ClassVar[Mapping[str, str]] = {
        "correct": "share of images with every object that the prompt asks for, as many, in its colour and place",
        "any_correct": "share of prompts of which any image is right",
        "counting_lower": f"share of images of prompts about numbers that are right, of objects that score more than "
        f"{COUNTING_THRESHOLD - SHIFT:.2f}",
        "counting_higher": f"the same, of objects that score more than {COUNTING_THRESHOLD + SHIFT:.2f}",
        "tag": "kind of prompt",
    }
    options: Options

    def open(self, folders: Sequence[Path]) -> Sequence[Numbered]:
        """The prompts of the protocol, in the published order."""
        (folder,) = folders
        file = folder / FILES[self.options.protocol]
        prompts = read_json_records(file, Prompt)
        if len(prompts) > PROMPTS:
            raise SgtError(file, f"{len(prompts)} prompts, {PROMPTS} are published", REMEDY)
        return [Numbered(line, prompt) for line, prompt in enumerate(prompts)]

    def parts(self, samples: Sequence[Numbered]) -> list[str]:
        """The tags, by which the prompts are sorted; the score is the mean over them."""
        return [sample.prompt.tag for sample in samples]

    def rows(self, samples: Iterable[Numbered]) -> Iterator[Row]:
        """A row per image; those of a prompt follow each other."""
        for sample in samples:
            wanted = sample.prompt.model_dump(mode="json", by_alias=True, exclude_none=True)
            for repeat in range(self.options.images):
                yield Row(
                    id=f"{sample.line:05d}-{repeat}",
                    question=wanted["prompt"],
                    kind="image",
                    dimensions={"tag": sample.prompt.tag},
                    groups={"prompt": f"{sample.line:05d}"},
                    extra={key: wanted[key] for key in ("include", "exclude")},
                    size=(self.options.side, self.options.side),
                    repeat=repeat,
                )

    def make_evaluator(self, replies: Path) -> ObjectsAndColours:
        """The detector and the classifier."""
        return ObjectsAndColours(self.options.detector, self.options.classifier)

    def parse(self, row: Row, reply: Judgement, protocol: str) -> Parsed:
        """The objects in the image."""
        return Parsed(reply.get("objects"), reply["status"])

    def score(self, row: Row, parsed: Parsed) -> dict[str, Any]:
        """``correct``: 1 if the image is right. The same with thresholds of counting that are lower and higher.

        Of an image that was not judged they are None, and ``judged`` is not ``ok``.
        """
        tag = row.dimensions["tag"]
        shift = SHIFT if tag == COUNTING else 0.0
        changes = {"correct": 0.0, "counting_lower": -shift, "counting_higher": shift}
        objects = parsed.value
        if objects is None:
            return {**dict.fromkeys(changes), "judged": parsed.status}
        right = {name: is_right(row.extra, objects, threshold_of(tag) + change) for name, change in changes.items()}
        return {**{name: float(value) for name, value in right.items()}, "judged": parsed.status}

    def joint_columns(self, rows: Sequence[Row], items: Mapping[str, Sequence[Any]]) -> dict[str, list]:
        """``any_correct``: 1 if any image of the row's prompt is right."""
        best: dict[str, float] = {}
        for prompt, correct in zip(items["prompt"], items["correct"], strict=True):
            best[prompt] = max(best.get(prompt, 0.0), correct or 0.0)
        return {"any_correct": [best[prompt] for prompt in items["prompt"]]}

    def metrics(self, rows: Sequence[Row]) -> list[Metric]:
        """The mean of the kinds that there are, each kind, and what GenEval prints besides."""

        def share(name: str, title: str, column: str = "correct", tag: str | None = None, **more: Any) -> Metric:
            where = {"judged": ["ok"]} if tag is None else {"judged": ["ok"], "tag": [tag]}
            return Metric(name, title, column, where, cluster="prompt", unit="share of images", **more)

        return [
            share("overall", "GenEval, mean of kinds", strata="tag", headline=True),
            *(share(f"correct/{tag}", f"GenEval, {title}", tag=tag) for tag, title in TITLES.items()),
            share("correct", "GenEval, all images"),
            share("any_correct", "GenEval, prompts with a right image", "any_correct"),
            share("counting/lower", "GenEval, counting, lower threshold", "counting_lower", COUNTING),
            share("counting/higher", "GenEval, counting, higher threshold", "counting_higher", COUNTING),
        ]
