"""Which layers are ablated: those whose attention moved most, and as many others, drawn at random."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, islice
from math import comb

import numpy as np

from sgt.analysis.analyse import read_findings
from sgt.errors import SgtError
from sgt.study.loaded import LoadedStudy

# Of these many sets at most, all are listed to draw from; from more, they are drawn until they differ.
LISTED = 10_000


@dataclass(frozen=True)
class LayerSets:
    """The layers that are ablated for an arm.

    Attributes:
        moved: those whose attention to the image moved most, in order of their indexes.
        others: sets of as many of the other layers.
    """

    moved: tuple[int, ...]
    others: list[tuple[int, ...]]


def moved_layers(changes: Sequence[float], count: int) -> tuple[int, ...]:
    """The layers with the largest changes in size, of equal ones the first; in order of their indexes."""
    order = sorted(range(len(changes)), key=lambda layer: (-abs(changes[layer]), layer))
    return tuple(sorted(order[:count]))


def draw_others(layers: int, moved: Sequence[int], draws: int, seed: int) -> list[tuple[int, ...]]:
    """Different sets of as many layers as moved, of the rest of them; all such sets if there are no more.

    Args:
        layers: of the model.
        moved: the layers that are not drawn.
        draws: how many sets.
        seed: of the draw, which depends on nothing else.
    """
    rest = [layer for layer in range(layers) if layer not in moved]
    total = comb(len(rest), len(moved))
    rng = np.random.default_rng(seed)
    if total <= LISTED:
        listed = list(islice(combinations(rest, len(moved)), total))
        chosen = rng.permutation(total)[:draws] if total > draws else range(total)
        return [listed[place] for place in chosen]
    found: list[tuple[int, ...]] = []
    while len(found) < draws:
        drawn = tuple(sorted(rng.choice(rest, len(moved), replace=False).tolist()))
        found += [drawn] if drawn not in found else []
    return found


def layer_sets(
    study: LoadedStudy, model: str, arm: str, reference: str, attention: str, measure: str, count: int, **draw: int
) -> LayerSets:
    """The layers that are ablated for an arm of a model, the same for all its seeds.

    Args:
        study: with the analysis of attention.
        model, arm: whose attention moved.
        reference: the arm that it is compared with.
        attention: name of the analysis of attention.
        measure: the share that moved, of the model's own attention while answering.
        count: how many layers.
        draw: ``draws`` and ``seed`` of :func:`draw_others`.

    Raises:
        SgtError: the model has too few layers.
    """
    means = {}
    for each in (arm, reference):
        found = [read_findings(study, run, attention) for run in study.runs if (run.model, run.arm) == (model, each)]
        if not all("answering" in findings for findings in found):
            where = f"{study.path}: analyses.{attention}"
            raise SgtError(where, "its samples have no questions", "give it a dataset that has some")
        means[each] = np.mean([findings["answering"]["model"][measure] for findings in found], axis=(0, 1))
    layers = len(means[arm])
    if 2 * count > layers:
        problem = f"{count} of {layers} leave fewer others to compare with"
        raise SgtError(f"{study.path}: analyses: layers", f"{problem} (model {model})", f"use at most {layers // 2}")
    moved = moved_layers((means[arm] - means[reference]).tolist(), count)
    return LayerSets(moved, draw_others(layers, moved, **draw))
