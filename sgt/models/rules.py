"""What each model family accepts in a study: checked before anything starts, and without importing torch.

Each family is a package here; ``rules.py`` of its folder has its rules as ``RULES``. They raise :class:`SgtError` whose
``where`` is the field; whoever reads the file puts its name before that.
"""

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import NoneType
from typing import Any, Protocol, TypeVar, get_args

from pydantic import ValidationError

import sgt.models
from sgt.config.fields import Strict
from sgt.config.files import first_fault
from sgt.config.inference import SamplingOptions
from sgt.config.models import Model
from sgt.config.recipe import Recipe
from sgt.errors import SgtError

Images = TypeVar("Images", bound=Strict)


@dataclass(frozen=True)
class LargestSides:
    """Sides of the largest square images of each kind, pixels."""

    input: int
    vqa_input: int
    target: int


class FamilyRules(Protocol):
    """What a family accepts.

    Attributes:
        weights: the files of its checkpoints, by path in their folder, that post-training changes.
    """

    weights: tuple[str, ...]

    def images(self, spec: Model) -> Strict:
        """How images are scaled: ``input_image``, ``target_image`` and, if there is one, ``vqa_input_image``.

        Raises:
            SgtError: a size is missing, unknown or no whole number above 0.
        """

    def largest_sides(self, spec: Model) -> LargestSides:
        """Bounds on memory and time."""

    def check_model(self, spec: Model) -> None:
        """See that sizes and images of a model's file fit together.

        Raises:
            SgtError: they do not.
        """

    def check_recipe(self, recipe: Recipe) -> None:
        """See that a recipe has nothing that only other families have.

        Raises:
            SgtError: it has.
        """

    def check_generation(self, sampling: SamplingOptions) -> None:
        """See that images can be sampled like this.

        Raises:
            SgtError: they cannot.
        """

    def target_side(self, spec: Model, side: int) -> int:
        """Side of the image that is generated for a square target of ``side``, pixels."""


def family_names() -> list[str]:
    """The families: the packages of :mod:`sgt.models`."""
    return sorted(module.name for module in iter_modules(sgt.models.__path__) if module.ispkg)


@cache
def rules_of(family: str) -> FamilyRules:
    """A family's rules.

    Raises:
        SgtError: there is no such family.
    """
    if family not in family_names():
        raise SgtError("family", f"there is no family {family!r}", f"use one of {', '.join(family_names())}")
    return import_module(f"sgt.models.{family}.rules").RULES


def parse_images(spec: Model, kind: type[Images]) -> Images:
    """The image settings of a model's file as a family's own type.

    Raises:
        SgtError: they are not of that type.
    """
    given = spec.model_dump(include={"input_image", "vqa_input_image", "target_image"}, exclude_none=True)
    for field, sizes in given.items():
        names = _size_names(kind, field)
        if list(sizes) == [str(place) for place in range(len(names))]:
            given[field] = dict(zip(names, sizes.values(), strict=True))
    try:
        return kind.model_validate(given, strict=True)
    except ValidationError as error:
        raise SgtError(*first_fault(kind, error)) from None


def _size_names(kind: type[Strict], field: str) -> list[str]:
    """The names of a field's sizes, in order."""
    annotation = kind.model_fields[field].annotation
    (bounds,) = (each for each in get_args(annotation) or (annotation,) if each is not NoneType)
    return list(bounds.model_fields)


def model_identity(spec: Model) -> dict[str, Any]:
    """How a model's images are scaled, under the names by which results have always been identified.

    Where the weights lie is not what they are, so their folder is no part of it.
    """
    images = rules_of(spec.family).images(spec).model_dump()
    names = {"vit_image": "input_image", "vqa_image": "vqa_input_image", "vae_image": "target_image"}
    sizes = {old: images.get(new) for old, new in names.items()}
    return {"family": spec.family, **{name: found and list(found.values()) for name, found in sizes.items()}}
