"""What a study may ask of each model family: looked at before anything starts, and without importing torch.

Each family has its rules in its folder. They raise :class:`SgtError` whose ``where`` is the field; whoever reads the
file puts its name before that.
"""

from typing import Protocol

from sgt.config.benchmarks import SamplingOptions
from sgt.config.models import Model
from sgt.config.recipe import Recipe
from sgt.models.bagel.rules import BagelRules
from sgt.models.omnigen2.rules import OmniGen2Rules


class FamilyRules(Protocol):
    """What a family refuses when it runs."""

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

    def made_side(self, spec: Model, side: int) -> int:
        """Side of the image that is made where a square one of ``side`` is asked for, pixels."""


RULES: dict[str, FamilyRules] = {"bagel": BagelRules(), "omnigen2": OmniGen2Rules()}
