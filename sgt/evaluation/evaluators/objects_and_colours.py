"""GenEval's evaluator: a detector, and a classifier of the colours of what it found."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from PIL import Image

from sgt.data.identity import fetched_content
from sgt.evaluation.evaluators.coco_classes import CLASSES
from sgt.evaluation.geneval_rules import THRESHOLD, is_right, kept, threshold_of
from sgt.evaluation.task import Evaluator, Judgement, Row, SelfCheckFailed

if TYPE_CHECKING:
    from sgt.evaluation.evaluators.geneval_kit import Box, Picture
    from sgt.evaluation.evaluators.instances import Detection

# Raise it when records or the kit change.
VERSION = 1
# Shares of the kit's pictures, and of its colours, that must be read right before anything is scored. A detector with
# wrong weights reads none, and a classifier that guesses one colour in ten. Drawings are no photographs: most may fail.
REQUIRED = {"photographs": 0.8, "drawings": 0.33, "colours": 0.8}
# Intersection over union of a detected box and the true one, from which the thing counts as found.
OVERLAP = 0.5
# Of what was not read right, as many as a message names.
MISSED_SHOWN = 5


class Detector(Protocol):
    """See :class:`sgt.evaluation.evaluators.mask2former.Mask2Former`."""

    def detect(self, images: Sequence[Image.Image], above: float) -> "list[list[Detection]]":
        """The objects of each image that score more than ``above``, best first."""
        ...


class Colours(Protocol):
    """See :class:`sgt.evaluation.evaluators.clip_colours.ColourClassifier`."""

    def colours(self, objects: "Sequence[tuple[Image.Image, Detection]]") -> list[str]:
        """The colour of each object."""
        ...


class ObjectsAndColours(Evaluator):
    """Lists the objects in images, with the colours that a row asks for.

    Args:
        detector, classifier: folders of the fetched models, which are loaded when they are first needed.
    """

    name = "Mask2Former and CLIP of transformers"

    def __init__(self, detector: Path | str, classifier: Path | str) -> None:
        self.folders = {"detector": Path(detector), "classifier": Path(classifier)}

    @cached_property
    def detector(self) -> Detector:
        """Loaded once."""
        from sgt.evaluation.evaluators.mask2former import Mask2Former

        return Mask2Former(self.folders["detector"], CLASSES)

    @cached_property
    def classifier(self) -> Colours:
        """Loaded once."""
        from sgt.evaluation.evaluators.clip_colours import ColourClassifier

        return ColourClassifier(self.folders["classifier"])

    def identity(self) -> dict[str, Any]:
        """What decides its records: its version and the contents of both models."""
        models = {part: fetched_content(folder) for part, folder in self.folders.items()}
        return {"version": VERSION, **models}

    def judge(self, rows: Sequence[Row], images: Sequence[Any]) -> list[Judgement]:
        """What is in each image, as ``objects``: class, score and box of each, best first, and colours that are needed.

        Args:
            rows: what each image must show; ``extra`` as in GenEval's metadata.
            images: RGB.
        """
        found = self.detector.detect(images, THRESHOLD)
        records = [[each.record() for each in objects] for objects in found]
        coloured = [(image, place) for image, row in enumerate(rows) for place in _to_be_coloured(row, records[image])]
        crops = [(images[image], found[image][place]) for image, place in coloured]
        for (image, place), colour in zip(coloured, self.classifier.colours(crops) if crops else [], strict=True):
            records[image][place]["colour"] = colour
        return [
            {"status": "ok", "size": list(image.size), "objects": objects}
            for image, objects in zip(images, records, strict=True)
        ]

    def prove(self) -> dict[str, Any]:
        """How much of its kit it reads right.

        Returns:
            ``kit``, its version; by part of the kit ``right``, ``of`` and the ``required`` share; and what it did not
            read, ``missed``.

        Raises:
            SelfCheckFailed: too little of a part.
        """
        from sgt.evaluation.evaluators import geneval_kit as kit

        parts: dict[str, list[tuple[str, bool]]] = {}
        for part, pictures in {"photographs": kit.photographs(), "drawings": kit.drawings()}.items():
            parts[part] = [(picture.name, self._reads(picture)) for picture in pictures]
        shapes = kit.coloured()
        named = self.classifier.colours([(image, detection) for image, detection, _ in shapes])
        parts["colours"] = [
            (f"{colour} {detection.name}", name == colour)
            for (_, detection, colour), name in zip(shapes, named, strict=True)
        ]
        counts = {
            part: {"right": sum(right for _, right in results), "of": len(results), "required": REQUIRED[part]}
            for part, results in parts.items()
        }
        missed = [name for results in parts.values() for name, right in results if not right]
        if any(each["right"] < each["required"] * each["of"] for each in counts.values()):
            shares = ", ".join(f"{each['right']} of {each['of']} {part}" for part, each in counts.items())
            folders = " and ".join(map(str, self.folders.values()))
            problem = f"only {shares} of the self-check are read right, not {', '.join(missed[:MISSED_SHOWN])}"
            raise SelfCheckFailed(folders, problem, "fetch the models that docs/benchmarks.md names")
        return {"kit": kit.KIT_VERSION, **counts, "missed": missed}

    def _reads(self, picture: "Picture") -> bool:
        """Whether everything is found at its place, and the rules hold."""
        (found,) = self.detector.detect([picture.image], THRESHOLD)
        at_place = [
            any(each.name == name and overlap(each.box, box) >= OVERLAP for each in found)
            for name, box in picture.things
        ]
        return all(at_place) and is_right(picture.wanted, [each.record() for each in found], THRESHOLD)


def overlap(a: "Box", b: "Box") -> float:
    """Intersection over union of two boxes (left, top, right, bottom)."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0) * max(height, 0)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def _to_be_coloured(row: Row, objects: Sequence[Mapping[str, Any]]) -> list[int]:
    """Places of the objects whose colours the rules look at: the best of a class that must have a colour."""
    places = {id(each): place for place, each in enumerate(objects)}
    threshold = threshold_of(row.dimensions["tag"])
    needed = [
        each
        for entry in row.extra["include"]
        if entry.get("color")
        for each in kept(objects, entry["class"], threshold)[: entry["count"]]
    ]
    return sorted({places[id(each)] for each in needed})
