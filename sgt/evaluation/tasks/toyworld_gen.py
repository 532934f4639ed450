"""Captions of toyworld scenes as prompts: are the things that the prompt names there, in that colour and place?"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from PIL import Image

from sgt.config.benchmarks import ImageBenchmark
from sgt.config.datasets import Toyworld
from sgt.config.samples import Samples
from sgt.data.conversations import check_text
from sgt.data.images import read_header
from sgt.data.shards import Sample
from sgt.errors import SgtError
from sgt.evaluation.metrics import Metric
from sgt.evaluation.task import Parsed, Row, Task

if TYPE_CHECKING:
    from sgt.evaluation.evaluators.scene_reader import Reading, SceneReader

# What is scored of each named thing. Each but the first is of a thing that was read in the right colour.
ASPECTS = ("colour", "object", "place")


class ToyworldGen(Task[Image.Image]):
    """An evaluator, tested on rendered scenes first, reads things off the images."""

    class Options(ImageBenchmark):
        """How images are sampled."""

        needs = "captions"
        scoring_version = 2
        smallest_side = 40

        task: Literal["toyworld-gen"]
        protocol: Literal["official"] = "official"

        def item_texts(self, record: dict, where: str) -> list[str]:
            """The caption, of a scene whose things are listed."""
            scene = record.get("scene")
            if not isinstance(scene, dict) or not isinstance(scene.get("objects"), list):
                raise SgtError(where, "no list of objects in its scene", "leave this sample out")
            return [check_text(record.get("caption"), "caption", where)]

        def image_side(self, dataset: Samples | None) -> int:
            """As large as the scenes are.

            Raises:
                SgtError: the dataset is not one of scenes.
            """
            if not isinstance(dataset, Toyworld):
                raise SgtError(f"benchmark {self.name}: dataset", "it has no scenes", "use one of toyworld")
            return dataset.size

    name = "toyworld-gen"
    explanations: ClassVar[Mapping[str, str]] = {
        "colour": "share of the things named in a prompt for which the image has a thing of that colour",
        "object": "share of the named things that are there in that colour and shape",
        "place": "share of the named things that are there in that colour, in the column and row of the prompt",
        "all": "share of the images that have every named thing in its colour, shape and place",
        "count": "share of the images with as many things as are named",
        "score": "mean of three shares of the things named in a prompt: there in that colour, in colour and shape, and "
        "in colour and place",
    }

    def __init__(self, options: ImageBenchmark) -> None:
        super().__init__(options)
        self._reader: SceneReader | None = None
        self._evaluator: dict[str, Any] = {"name": "scene reader"}

    def rows(self, samples: Iterable[Sample]) -> Iterator[Row]:
        """A row per caption."""
        for sample in samples:
            record = sample.json()
            yield Row(
                id=sample.key,
                question=record["caption"],
                kind="image",
                groups={"scene": sample.key},
                extra={"objects": record["scene"]["objects"]},
                size=read_header(sample.image, sample.image_name).size,
            )

    def parse(self, row: Row, reply: Image.Image, protocol: str) -> Parsed:
        """Every thing that is read off the image.

        Raises:
            SgtError: the reader reads rendered scenes of this size less well than it must.
        """
        if self._reader is None:
            # Only images need it, and it takes long to import.
            from sgt.evaluation.evaluators.scene_reader import checked_reader

            self._reader, check = checked_reader(reply.width)
            self._evaluator["self_check"] = {**vars(check)}
        return Parsed(self._reader.read(reply), "direct")

    def score(self, row: Row, parsed: Parsed) -> dict[str, float]:
        """Shares of the named things.

        ``colour`` is the share of them with a thing of that colour; ``object`` with that colour and shape; ``place``
        with that colour in that column and row; ``all`` is 1 if every named thing is there in colour, shape and place;
        ``count`` is 1 if as many things are there as named; ``score`` is the mean of colour, object and place.
        """
        things, readings = row.extra["objects"], parsed.value
        share = {
            "colour": _share(things, readings, lambda thing, reading: True),
            "object": _share(things, readings, lambda thing, reading: reading.shape == thing["shape"]),
            "place": _share(things, readings, _in_place),
        }
        whole = _share(
            things, readings, lambda thing, reading: reading.shape == thing["shape"] and _in_place(thing, reading)
        )
        return {
            **share,
            "all": float(whole == 1.0),
            "count": float(len(readings) == len(things)),
            "score": sum(share[aspect] for aspect in ASPECTS) / len(ASPECTS),
        }

    def metrics(self, rows: Sequence[Row]) -> list[Metric]:
        """Each mean; the score sums them up."""
        return [
            Metric(
                name=f"generation/{column}",
                title=f"generation/{column}",
                column=column,
                cluster="scene",
                unit="share of prompts' things",
                headline=column == "score",
            )
            for column in (*ASPECTS, "all", "count", "score")
        ]

    @property
    def evaluator(self) -> dict[str, Any]:
        """The reader and how it did on rendered scenes."""
        return self._evaluator


def _share(things: Sequence[dict], readings: "Sequence[Reading]", fits) -> float:
    """Share of the things that have a reading of their colour that fits; no reading serves two things."""
    free, found = list(readings), 0
    for thing in things:
        chosen = next((r for r in free if r.colour == thing["colour"] and fits(thing, r)), None)
        if chosen is not None:
            free.remove(chosen)
            found += 1
    return found / len(things)


def _in_place(thing: dict, reading: "Reading") -> bool:
    return (reading.column, reading.row) == (thing["column"], thing["row"])
