"""What a study file may say: the one source of truth for its fields, types and defaults.

A study names its models and benchmarks; each is a file of its own beside it (``models/NAME.yaml``,
``benchmarks/NAME.yaml``). What can be chosen about each proxy is the proxy's own: :mod:`sgt.study.schema` adds it.
"""

from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, model_validator

from sgt.config.analyses import AnalysisEntry
from sgt.config.data import Data, Subset
from sgt.config.datasets import Dataset
from sgt.config.fields import Count, Folder, Name, Seed, Strict
from sgt.config.judges import Judge
from sgt.config.logging import Logging
from sgt.config.proxies import ProxyOptions
from sgt.config.recipe import Recipe
from sgt.config.transplants import Transplant
from sgt.config.variants import Variant

ARM_WITHOUT_TRAINING = "base"
# The controls: trained on a proxy arm's questions alone, and on as many as take a proxy arm's compute.
ARM_WITHOUT_PROXY = "sft"
EQUAL_COMPUTE = "sft-compute"
NO_PROXY = (ARM_WITHOUT_TRAINING, ARM_WITHOUT_PROXY, EQUAL_COMPUTE)


class Study(Strict):
    """A study: models × arms × seeds × benchmarks."""

    name: Name = Field(description="as in reports")
    results: Folder = Field("results", description="folder of everything the study makes, and of no other study")
    models: Annotated[list[Name], Field(min_length=1)] = Field(description="files of config/models")
    arms: Annotated[list[Name], Field(min_length=1)] = Field(
        description="what each model is post-trained on: base, sft, sft-compute, or names of proxies and variants"
    )
    seeds: Annotated[list[Seed], Field(min_length=1)] = Field(description="of training; each arm is trained with all")
    recipe: Recipe = Field(description="how arms are post-trained")
    recipes: dict[Name, Recipe] = Field({}, description="recipes of models that need their own")
    proxies: dict[Name, ProxyOptions] = Field(
        {},
        description="proxies with what is chosen about them, by a name for arms; a task's own name changes it",
    )
    variants: dict[Name, Variant] = Field({}, description="arms that are a proxy at another ratio or on other images")
    transplants: dict[Name, Transplant] = Field(
        {}, description="runs made of parts of two arms' runs, evaluated beside the arms"
    )
    downloads: Folder = Field("downloads", description="folder of what `sgt fetch` fetches")
    datasets: dict[Name, Dataset] = Field(description="by a name for `data`, models and benchmarks")
    data: Data = Field(description="which dataset is used for what")
    benchmarks: Annotated[list[Name], Field(min_length=1)] = Field(description="files of config/benchmarks")
    judge: Judge | None = Field(
        None, description="of the benchmarks that need one and whose file names none; without it they are not run"
    )
    analyses: list[AnalysisEntry] = Field(
        [], description="measurements of the insides of every run's model; see the files of sgt/analysis/analyses"
    )
    limit: Count | None = Field(
        None,
        description="samples of every benchmark, to try a study out; of a published one, of each part its share",
    )
    logging: Logging = Field(Logging(), description="dashboards of trainings")

    @model_validator(mode="after")
    def _unique(self) -> "Study":
        for field in ("models", "arms", "seeds", "benchmarks"):
            values = getattr(self, field)
            if len(set(values)) < len(values):
                raise ValueError(f"{field} lists a value twice: {values}")
        if len({each.file_name for each in self.analyses}) < len(self.analyses):
            names = [each.file_name for each in self.analyses]
            raise ValueError(f"analyses: two have the same name ({', '.join(names)}): give one a `name` of its own")
        for model in self.recipes:
            if model not in self.models:
                raise ValueError(f"recipes: {model!r} is not one of the study's models")
        for where, recipe in (
            ("recipe", self.recipe),
            *((f"recipes.{name}", each) for name, each in self.recipes.items()),
        ):
            if recipe.sft_compute_batch and EQUAL_COMPUTE not in self.arms:
                raise ValueError(f"{where}: sft_compute_batch is of arm {EQUAL_COMPUTE!r}: add the arm, or remove it")
        return self

    @model_validator(mode="after")
    def _variants(self) -> "Study":
        for name, variant in self.variants.items():
            self._check_subset(f"variants.{name}", variant.images)
            for recipe in (self.recipe, *self.recipes.values()):
                try:
                    variant.changed(recipe)
                except ValidationError as error:
                    message = error.errors()[0]["msg"].removeprefix("Value error, ")
                    raise ValueError(f"variants.{name}: {message}: change ratio or batch") from None
                except ValueError as error:
                    raise ValueError(f"variants.{name}: {error}") from None
        return self

    @model_validator(mode="after")
    def _transplants(self) -> "Study":
        for name, transplant in self.transplants.items():
            if name in (*self.arms, *NO_PROXY):
                raise ValueError(f"transplants: {name!r} is the name of an arm: rename it")
            for field in ("into", "parts_from"):
                if (arm := getattr(transplant, field)) not in self.arms:
                    raise ValueError(f"transplants.{name}.{field}: {arm!r} is none of the study's arms: add it")
            if transplant.into == transplant.parts_from:
                raise ValueError(f"transplants.{name}: both runs are of {transplant.into!r}: name two arms")
        return self

    @model_validator(mode="after")
    def _with_data(self) -> "Study":
        for part in ("proxy", "vqa", "validation"):
            self._check_subset(f"data.{part}", getattr(self.data, part))
        if self.data.held_out is not None and self.data.held_out not in self.datasets:
            raise ValueError(f"data.held_out: no dataset {self.data.held_out!r}: define it under datasets")
        for arm in self.arms:
            if arm == ARM_WITHOUT_TRAINING:
                continue
            if self.data.vqa is None:
                raise ValueError(f"data.vqa: arm {arm!r} is trained on questions: name a dataset of them")
            if arm in NO_PROXY or (arm in self.variants and self.variants[arm].images):
                continue
            if self.data.proxy is None:
                raise ValueError(f"data.proxy: arm {arm!r} is rendered from images: name a dataset of them")
        return self

    def _check_subset(self, where: str, subset: Subset | None) -> None:
        """See that there is such a dataset, with as many samples, and that the first ones are like all.

        Raises:
            ValueError: there is not.
        """
        if subset is None:
            return
        dataset = self.datasets.get(subset.dataset)
        if dataset is None:
            raise ValueError(f"{where}: no dataset {subset.dataset!r}: define it under datasets")
        if subset.limit is not None and dataset.sorted_by:
            problem = f"{subset.dataset!r} is sorted by {dataset.sorted_by}, so its first {subset.limit} are of few"
            raise ValueError(f"{where}: {problem}: remove limit, and set samples of the dataset")
        if subset.limit is not None and dataset.counted and subset.limit > dataset.count:
            problem = f"limit {subset.limit} is above the {dataset.count} samples of {subset.dataset!r}"
            raise ValueError(f"{where}: {problem}: lower it, or make the dataset larger")

    @model_validator(mode="after")
    def _apart(self) -> "Study":
        if Path(self.results) == Path(self.downloads):
            raise ValueError(f"results and downloads are both {self.results!r}: give one another folder")
        rules: dict[str, str] = {}
        for name in self.datasets:
            # The workflow names a rule after each dataset, and rules are named like variables.
            if (other := rules.setdefault(name.replace("-", "_"), name)) != name:
                raise ValueError(f"datasets: {other!r} and {name!r} differ in - and _ alone: rename one")
        return self
