"""GenEval's rules: from a prompt's requirements and the objects detected in an image to right or wrong."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np

Colour = Literal["red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white"]
Relation = Literal["left of", "right of", "above", "below"]
COLOURS: tuple[Colour, ...] = get_args(Colour)
RELATIONS: tuple[Relation, ...] = get_args(Relation)
# Objects of a class must score more than this to count; in prompts about numbers of objects more than the second.
THRESHOLD, COUNTING_THRESHOLD = 0.3, 0.9
COUNTING = "counting"
# Objects of a class that are looked at, best first.
MAX_OBJECTS = 16
# Share of both objects' sizes by which centres must be apart, and of the distance that must be along an axis.
MARGIN, ALONG = 0.1, 0.5
_ROUNDING = 1e-3

Box = Sequence[float]
# A detected object as an evaluator records it: ``class``, ``score``, ``box`` and, if it was needed, ``colour``.
Found = Mapping[str, Any]


def threshold_of(tag: str) -> float:
    """The score above which objects count."""
    return COUNTING_THRESHOLD if tag == COUNTING else THRESHOLD


def kept(objects: Sequence[Found], name: str, threshold: float) -> list[Found]:
    """The objects of a class that count, best first."""
    of_class = [each for each in objects if each["class"] == name and each["score"] > threshold]
    return sorted(of_class, key=lambda each: -each["score"])[:MAX_OBJECTS]


def relations(a: Box, b: Box) -> set[Relation]:
    """Where box ``a`` is relative to box ``b``, both (left, top, right, bottom): none, one or two relations."""
    corners = np.array([a, b], float).reshape(2, 2, 2)
    offset = np.subtract(*corners.mean(axis=1))
    sizes = np.abs(corners[:, 1] - corners[:, 0]).sum(axis=0)
    apart = np.maximum(np.abs(offset) - MARGIN * sizes, 0) * np.sign(offset)
    if (np.abs(apart) < _ROUNDING).all():
        return set()
    # By the whole distance of the centres, without the margin.
    x, y = apart / np.linalg.norm(offset)
    holds = x < -ALONG, x > ALONG, y < -ALONG, y > ALONG
    return {name for name, it_does in zip(RELATIONS, holds, strict=True) if it_does}


def is_right(wanted: Mapping[str, Any], objects: Sequence[Found], threshold: float) -> bool:
    """Whether an image shows what its prompt asks for.

    Args:
        wanted: a line of the published metadata: ``include`` and ``exclude``.
        objects: detected in the image.
        threshold: of their scores.
    """
    # Per entry its objects, None if it is not met.
    matched: list[list[Found] | None] = []
    for entry in wanted["include"]:
        found = kept(objects, entry["class"], threshold)[: entry["count"]]
        matched.append(found if _matches(entry, found, matched) else None)
    too_many = [len(kept(objects, each["class"], threshold)) >= each["count"] for each in wanted.get("exclude") or ()]
    return None not in matched and not any(too_many)


def _matches(entry: Mapping[str, Any], found: Sequence[Found], matched: Sequence[Sequence[Found] | None]) -> bool:
    """Whether the best objects of a class are enough, all of the colour, and all where they must be."""
    if len(found) < entry["count"]:
        return False
    if entry.get("color") and [each["colour"] for each in found].count(entry["color"]) < entry["count"]:
        return False
    if not entry.get("position"):
        return True
    relation, target = entry["position"]
    targets = matched[target]
    if targets is None:
        return False
    return all(relation in relations(each["box"], other["box"]) for each in found for other in targets)
