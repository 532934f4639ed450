"""Which arms of a study lie on a curve: those of one proxy that differ in its share alone, or in its images alone.

They are the study's variants, and the proxy's own arm where it fits. The control, which has no image of the proxy, lies
on every curve at zero.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sgt.config.study import ARM_WITHOUT_PROXY
from sgt.study.loaded import LoadedStudy

# What a dataset's size is, among its fields.
SIZES = {"images", "scenes", "tars", "per_shard"}


@dataclass(frozen=True)
class Place:
    """A row: an arm of a model.

    Attributes:
        model, arm: of the study; an arm that it lacks was not run.
        label: in place of the arm's name.
        at: where on the horizontal axis of a curve; NaN if it is on none.
        curve: the proxy whose curve it is on.
    """

    model: str
    arm: str
    label: str
    at: float = float("nan")
    curve: str = ""


def ratio_places(study: LoadedStudy) -> list[Place]:
    """Arms at several ratios of a proxy's samples to questions, on the same images."""

    def same(arm: str, other: str) -> bool:
        return study.image_subset(arm) == study.image_subset(other)

    found = []
    for model in study.models:

        def share(arm: str, model: str = model) -> float:
            proxy, questions = study.recipe(model, arm).ratio
            return proxy / questions

        for curve, points in _curves(study, same, share):
            found += [Place(model, arm, f"{curve} {at:g}:1", at, curve) for at, arm in points]
    return found


def scale_places(study: LoadedStudy) -> list[Place]:
    """Arms on several numbers of the same source's images, at the same ratio."""

    def same(arm: str, other: str) -> bool:
        alike = _source(study, arm) == _source(study, other)
        return alike and all(
            study.recipe(model, arm).ratio == study.recipe(model, other).ratio for model in study.models
        )

    return [
        Place(model, arm, f"{curve} {at:,.0f} images", at, curve)
        for model in study.models
        for curve, points in _curves(study, same, lambda arm: float(_size(study, arm)))
        for at, arm in points
    ]


def _curves(
    study: LoadedStudy, same: Callable[[str, str], bool], at: Callable[[str], float]
) -> Iterator[tuple[str, Sequence[tuple[float, str]]]]:
    """The name and the points of every curve of at least two arms; the control, if there is one, is its first point."""
    left = list(study.proxy_arms)
    while left:
        first, *others = left
        group = [
            first,
            *(arm for arm in others if study.proxy_name(arm) == study.proxy_name(first) and same(first, arm)),
        ]
        left = [arm for arm in left if arm not in group]
        # Two arms at one place would differ in something else.
        points = {at(arm): arm for arm in group}
        if len(points) > 1:
            control = [(0.0, ARM_WITHOUT_PROXY)] if ARM_WITHOUT_PROXY in study.study.arms else []
            yield study.proxy_name(first), [*control, *sorted(points.items())]


def _source(study: LoadedStudy, arm: str) -> dict:
    """What an arm's images are, besides how many."""
    dataset = study.study.datasets[study.image_subset(arm).dataset]
    return dataset.model_dump(mode="json", exclude=SIZES)


def _size(study: LoadedStudy, arm: str) -> int:
    subset = study.image_subset(arm)
    return subset.limit or study.study.datasets[subset.dataset].count
