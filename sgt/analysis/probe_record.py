"""The findings of the analysis ``probe``, as JSON: ``images`` of the split, ``left_out``, and ``targets`` by name.

A target has its ``metric``, the ``image`` of each test item (an index into the tested images), and ``layers`` by name:
``value``, the mean of the ``scores`` of the test items, ``of_control``, that of the ``control``, and the ``strength``
of the regularisation.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

ACCURACY, R2 = "accuracy", "R²"


@dataclass(frozen=True)
class ProbedItems:
    """A probe's scores on its test items.

    Attributes:
        target, layer: what was probed for, and where.
        metric: ``accuracy`` or ``R²``: the mean of the scores.
        scores: (items,).
        control: (items,), with shuffled labels.
        images: the image of each item.
    """

    target: str
    layer: str
    metric: str
    scores: np.ndarray
    control: np.ndarray
    images: list[str]


def probed_items(findings: Mapping[str, Any]) -> Iterator[ProbedItems]:
    """The scores of every probe in the findings."""
    for target, found in findings["targets"].items():
        images = [findings["images"]["tested"][int(place)] for place in numbers(found["image"])]
        for layer, probe in found["layers"].items():
            scores, control = numbers(probe["scores"]), numbers(probe["control"])
            yield ProbedItems(target, layer, found["metric"], scores, control, images)


def line(values: np.ndarray) -> str:
    """Numbers of items as one text, which takes a single line of the record; four digits of what is not an integer."""
    form = "d" if np.issubdtype(values.dtype, np.integer) else ".4g"
    return " ".join(f"{value:{form}}" for value in values.ravel().tolist())


def numbers(text: str) -> np.ndarray:
    """The inverse of :func:`line`."""
    return np.array(text.split(), float)
