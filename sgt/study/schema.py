"""What a study file may say: the one source of truth for its fields, types and defaults.

A study names its models and benchmarks; each is a file of its own beside it (``models/NAME.yaml``,
``benchmarks/NAME.yaml``). ``sgt schema`` prints a JSON schema for editors, made from these classes; nothing reads it
when a study runs.
"""

import argparse
import json
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, model_validator

from sgt.proxies import PROXIES, options_type
from sgt.study.datasets import Data, Dataset
from sgt.study.fields import Folder, Name, Seed, Strict
from sgt.study.recipe import Recipe
from sgt.study.variants import Variant
from sgt.study.watch import Watch

ARM_WITHOUT_TRAINING = "base"
ARM_WITHOUT_PROXY = "sft"
ProxyOptions = options_type()


class Study(Strict):
    """A study: models × arms × seeds × benchmarks."""

    name: Name
    results: Folder = Field("results", description="folder of everything the study makes, and of no other study")
    models: Annotated[list[Name], Field(min_length=1)]
    arms: Annotated[list[Name], Field(min_length=1)]
    seeds: Annotated[list[Seed], Field(min_length=1)]
    recipe: Recipe
    recipes: dict[Name, Recipe] = Field({}, description="recipes of models that need their own")
    proxies: dict[Name, ProxyOptions] = Field(
        {},
        description="proxies with what is chosen about them, by a name for arms; a task's own name changes it",
    )
    variants: dict[Name, Variant] = Field({}, description="arms that are a proxy at another ratio or on other images")
    downloads: Folder = Field("downloads", description="folder of what `sgt fetch` fetches")
    datasets: dict[Name, Dataset]
    data: Data
    benchmarks: Annotated[list[Name], Field(min_length=1)]
    watch: Watch = Watch()

    @model_validator(mode="after")
    def _consistent(self) -> "Study":
        for field in ("models", "arms", "seeds", "benchmarks"):
            values = getattr(self, field)
            if len(set(values)) < len(values):
                raise ValueError(f"{field} lists a value twice: {values}")
        proxies = list(dict.fromkeys([*PROXIES, *self.proxies]))
        known = [ARM_WITHOUT_TRAINING, ARM_WITHOUT_PROXY, *proxies, *self.variants]
        for arm in self.arms:
            if arm not in known:
                raise ValueError(f"arms: unknown proxy {arm!r}: use one of {', '.join(known)}")
        if len(set(known)) < len(known):
            raise ValueError("variants: one has the name of another arm: rename it")
        if set(self.arms) - {ARM_WITHOUT_TRAINING, ARM_WITHOUT_PROXY} and ARM_WITHOUT_PROXY not in self.arms:
            raise ValueError(f"arms: proxies are compared with {ARM_WITHOUT_PROXY!r}: add it")
        for name, options in self.proxies.items():
            if name in (ARM_WITHOUT_TRAINING, ARM_WITHOUT_PROXY) or (name in PROXIES and options.task != name):
                raise ValueError(f"proxies: {name!r} is the name of another task or arm: rename it")
        for name, variant in self.variants.items():
            if variant.proxy not in proxies:
                raise ValueError(f"variants.{name}: no proxy {variant.proxy!r}: use one of {', '.join(proxies)}")
            if variant.images and variant.images not in self.datasets:
                raise ValueError(f"variants.{name}: no dataset {variant.images!r}: define it under datasets")
            for recipe in (self.recipe, *self.recipes.values()):
                try:
                    variant.changed(recipe)
                except ValidationError as error:
                    message = error.errors()[0]["msg"].removeprefix("Value error, ")
                    raise ValueError(f"variants.{name}: {message}: change ratio or batch") from None
                except ValueError as error:
                    raise ValueError(f"variants.{name}: {error}") from None
        for model in self.recipes:
            if model not in self.models:
                raise ValueError(f"recipes: {model!r} is not one of the study's models")
        return self

    @model_validator(mode="after")
    def _with_data(self) -> "Study":
        for part in ("proxy", "vqa", "validation"):
            name = getattr(self.data, part)
            if name is not None and name not in self.datasets:
                raise ValueError(f"data.{part}: no dataset {name!r}: define it under datasets")
        for arm in self.arms:
            if arm == ARM_WITHOUT_TRAINING:
                continue
            if self.data.vqa is None:
                raise ValueError(f"data.vqa: arm {arm!r} is trained on questions: name a dataset of them")
            if arm == ARM_WITHOUT_PROXY or (arm in self.variants and self.variants[arm].images):
                continue
            if self.data.proxy is None:
                raise ValueError(f"data.proxy: arm {arm!r} is rendered from images: name a dataset of them")
        return self

    @model_validator(mode="after")
    def _apart(self) -> "Study":
        if Path(self.results) == Path(self.downloads):
            raise ValueError(f"results and downloads are both {self.results!r}: give one another folder")
        rules = {}
        for name in self.datasets:
            # The workflow names a rule after each dataset, and rules are named like variables.
            if (other := rules.setdefault(name.replace("-", "_"), name)) != name:
                raise ValueError(f"datasets: {other!r} and {name!r} differ in - and _ alone: rename one")
        return self


def study_schema() -> str:
    """The JSON schema of a study file, as text."""
    schema = Study.model_json_schema()
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2) + "\n"


def configure(parser: argparse.ArgumentParser) -> None:
    """``sgt schema``: prints to stdout; takes no arguments."""


def run(args: argparse.Namespace) -> None:
    """Print the JSON schema."""
    print(study_schema(), end="")
