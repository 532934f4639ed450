"""Arms that are a proxy with something else changed than the proxy: how much of it, or which images."""

from pydantic import Field

from sgt.config.data import DatasetOrSubset
from sgt.config.fields import Count, Name, Strict
from sgt.config.recipe import Recipe


class Variant(Strict):
    """An arm of a proxy at another ratio, or on other images; everything not named is as in the study."""

    proxy: Name = Field(description="a proxy, by its own name or one of the study's `proxies`")
    images: DatasetOrSubset | None = Field(None, description="dataset, or its first samples, instead of data.proxy")
    ratio: tuple[Count, Count] | None = Field(None, description="instead of recipe.ratio")
    batch: Count | None = Field(
        None, description="instead of recipe.batch; the VQA samples per step must stay as many as the control has"
    )

    def changed(self, recipe: Recipe) -> Recipe:
        """The recipe with this arm's ratio and batch.

        Raises:
            ValueError: the two do not fit, or the arm would see another number of questions than the control.
        """
        own = self.model_dump(include={"ratio", "batch"}, exclude_none=True)
        changed = Recipe.model_validate({**recipe.model_dump(exclude_unset=True), **own})
        here, there = (each.batch // sum(each.ratio) * each.ratio[1] for each in (changed, recipe))
        if here != there:
            raise ValueError(f"{here} VQA samples per step, the control has {there}: choose batch so that they agree")
        return changed
