"""What a study file may say: the one source of truth for its fields, types and defaults.

A study names its models and benchmarks; each is a file of its own beside it (``models/NAME.yaml``,
``benchmarks/NAME.yaml``). The JSON schema for editors and Snakemake is generated from these classes (``sgt schema``).
"""

import argparse
import json
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from sgt.proxies import PROXIES
from sgt.study.datasets import Data, Toyworld
from sgt.study.fields import Name, Strict
from sgt.study.recipe import Recipe
from sgt.study.watch import Watch

ARM_WITHOUT_TRAINING = "base"
ARM_WITHOUT_PROXY = "sft"
SCHEMA_FILE = Path("config/study.schema.json")


class Study(Strict):
    """A study: models × arms × seeds × benchmarks."""

    name: Name
    results: str = Field("results", description="folder of everything the study makes")
    models: Annotated[list[Name], Field(min_length=1)]
    arms: Annotated[list[Name], Field(min_length=1)]
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    recipe: Recipe
    recipes: dict[Name, Recipe] = Field({}, description="recipes of models that need their own")
    datasets: dict[Name, Toyworld]
    data: Data
    benchmarks: Annotated[list[Name], Field(min_length=1)]
    watch: Watch = Watch()

    @model_validator(mode="after")
    def _consistent(self) -> "Study":
        for field in ("models", "arms", "seeds", "benchmarks"):
            values = getattr(self, field)
            if len(set(values)) < len(values):
                raise ValueError(f"{field} lists a value twice: {values}")
        known = [ARM_WITHOUT_TRAINING, ARM_WITHOUT_PROXY, *PROXIES]
        for arm in self.arms:
            if arm not in known:
                raise ValueError(f"arms: unknown proxy {arm!r}: use one of {', '.join(known)}")
        if set(self.arms) & set(PROXIES) and ARM_WITHOUT_PROXY not in self.arms:
            raise ValueError(f"arms: proxies are compared with {ARM_WITHOUT_PROXY!r}: add it")
        for model in self.recipes:
            if model not in self.models:
                raise ValueError(f"recipes: {model!r} is not one of the study's models")
        for part, name in self.data.model_dump(exclude_none=True).items():
            if name not in self.datasets:
                raise ValueError(f"data.{part}: no dataset {name!r}: define it under datasets")
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
