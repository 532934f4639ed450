"""What a study file may say: the one source of truth for its fields, types and defaults.

A study names its models and benchmarks; each is a file of its own beside it (``models/NAME.yaml``,
``benchmarks/NAME.yaml``). The JSON schema for editors and Snakemake is generated from these classes (``sgt schema``).
"""

import argparse
import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sgt.proxies import PROXIES

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
Count = Annotated[int, Field(ge=1)]
Weight = Annotated[float, Field(ge=0)]
Part = Literal["understanding", "generation", "vision", "vocabulary"]
Probability = Annotated[float, Field(ge=0, le=1)]

ARM_WITHOUT_TRAINING = "base"
ARM_WITHOUT_PROXY = "sft"
SCHEMA_FILE = Path("config/study.schema.json")


class Strict(BaseModel):
    """Unknown keys are errors and values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Resources(Strict):
    """What one job of a model needs; the workflow passes it to the scheduler."""

    gpu: int = Field(0, ge=0, description="GPUs per job; 0 runs on the CPU")
    threads: Count = Field(1, description="CPU threads per job")
    mem_mb: Count = Field(2000, description="host memory, MB")
    runtime: Count = Field(60, description="time limit, minutes")


class Optimizer(Strict):
    """AdamW and its schedule. Defaults are the official SGT-BAGEL values."""

    lr: float = Field(1e-4, gt=0, description="peak learning rate")
    warmup: int = Field(0, ge=0, description="linear warm-up, steps")
    schedule: Literal["constant", "cosine"] = "constant"
    betas: tuple[Probability, Probability] = (0.9, 0.95)
    eps: float = Field(1e-15, gt=0)
    weight_decay: Weight = 0.0
    clip: float = Field(1.0, gt=0, description="maximum global gradient norm")


class LoRA(Strict):
    """Low-rank adapters on the linear layers of some parts; everything else is frozen."""

    rank: Count
    alpha: float = Field(gt=0, description="the update is scaled by alpha / rank")
    parts: Annotated[list[Literal["understanding", "generation"]], Field(min_length=1)]


class Recipe(Strict):
    """How an arm is post-trained."""

    steps: Count = Field(description="optimizer steps")
    batch: Count = Field(description="samples per optimizer step in a proxy arm, both kinds together")
    ratio: tuple[Count, Count] = Field((2, 1), description="proxy : VQA, in samples per optimizer step, exact")
    optimizer: Optimizer = Optimizer()
    ce_weight: Weight = Field(1.5, description="weight of the text cross-entropy")
    mse_weight: Weight = Field(1.0, description="weight of the flow-matching error")
    timestep_shift: float = Field(1.0, gt=0)
    text_dropout: Probability = Field(0.1, description="probability that a proxy's instruction is dropped")
    ema: float = Field(
        0.0, ge=0, lt=1, description="decay of the weight average that is saved; 0 saves the raw weights"
    )
    save_every: Count = Field(100, description="steps between resumable checkpoints")
    trains: Annotated[list[Part], Field(min_length=1)] = Field(
        ["understanding", "generation", "vision", "vocabulary"], description="parts that are not frozen"
    )
    lora: LoRA | None = Field(None, description="train adapters instead of the weights")
    recompute: bool = Field(False, description="recompute activations in the backward pass instead of keeping them")

    @model_validator(mode="after")
    def _one_way_to_train(self) -> "Recipe":
        if self.lora and "trains" in self.model_fields_set:
            raise ValueError("trains and lora contradict each other: lora freezes everything: remove one")
        return self

    @model_validator(mode="after")
    def _whole_batch(self) -> "Recipe":
        if self.batch % sum(self.ratio):
            proxy, vqa = self.ratio
            raise ValueError(
                f"batch {self.batch} is not a multiple of {proxy}+{vqa}, so ratio {proxy}:{vqa} cannot be exact"
            )
        return self


class Toyworld(Strict):
    """Built-in scenes (``sgt toyworld``). Scenes of different splits never share a seed."""

    source: Literal["toyworld"]
    split: Literal["pretrain", "proxy", "vqa", "validation", "test"]
    scenes: Count
    per_shard: Count = 1000
    size: Annotated[int, Field(ge=16, le=1024)] = Field(48, description="image side, pixels")
    seed: int = Field(0, ge=0)

    @property
    def shards(self) -> int:
        """How many shards the scenes fill."""
        return -(-self.scenes // self.per_shard)


class Data(Strict):
    """Which dataset plays which part."""

    proxy: Name = Field(description="dataset whose images and annotations become proxy targets")
    vqa: Name = Field(description="dataset of questions that every trained arm sees")


class Pretrain(Strict):
    """How a base model is made from nothing (tiny models only; the 7B bases are fetched)."""

    dataset: Name
    vae_steps: Count
    vae_batch: Count = 32
    vae_lr: float = Field(2e-3, gt=0)
    steps: Count
    vqa_batch: Count = Field(description="image-and-questions samples per step")
    image_batch: Count = Field(description="text-to-image samples per step")
    optimizer: Optimizer
    save_every: Count = 500


class Model(Strict):
    """``config/models/NAME.yaml``: a model family at a size."""

    name: Name
    family: Literal["bagel"]
    checkpoint: str = Field(description="folder of the base weights in the official layout")
    overlay: str | None = Field(None, description="folder of weights alone that replace the checkpoint's (SGT-BAGEL)")
    architecture: dict | None = Field(None, description="sizes of a model that can be pretrained here")
    pretrain: Pretrain | None = None
    vit_image: tuple[Count, Count, Count] = Field(
        description="longest side, shortest side, stride of the semantic encoder's input"
    )
    vae_image: tuple[Count, Count, Count] = Field(description="longest side, shortest side, stride of generated images")
    train: Resources = Resources()
    predict: Resources = Resources()

    @model_validator(mode="after")
    def _pretrainable(self) -> "Model":
        if self.pretrain and self.architecture is None:
            raise ValueError("pretrain needs architecture: give the sizes of the model, or remove pretrain")
        return self


class QuestionProtocol(Strict):
    """Questions with one right answer, answered greedily and matched exactly after normalisation."""

    kind: Literal["questions"]
    max_new_tokens: Count = 8


class GenerationProtocol(Strict):
    """Prompts turned into images, which an evaluator reads."""

    kind: Literal["generation"]
    prompts: Count = Field(description="how many prompts, one per scene from the first")
    points: Annotated[int, Field(ge=2)] = Field(description="time points of the sampler; one fewer Euler steps")
    text_scale: float = Field(4.0, ge=1)
    interval: tuple[Probability, Probability] = (0.4, 1.0)
    timestep_shift: float = Field(3.0, gt=0)
    seed: int = 0


class Benchmark(Strict):
    """``config/benchmarks/NAME.yaml``: questions or prompts with a protocol."""

    name: Name
    version: Count
    dataset: Name
    protocol: QuestionProtocol | GenerationProtocol = Field(discriminator="kind")
    groups: dict[Name, Annotated[list[str], Field(min_length=1)]] = Field(
        {}, description="kinds of question that are also scored together, by name of the group"
    )

    @model_validator(mode="after")
    def _groups_of_questions(self) -> "Benchmark":
        if self.groups and self.protocol.kind != "questions":
            raise ValueError("groups: only questions have kinds: remove it")
        return self


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
        for part in ("proxy", "vqa"):
            if getattr(self.data, part) not in self.datasets:
                raise ValueError(f"data.{part}: no dataset {getattr(self.data, part)!r}: define it under datasets")
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
