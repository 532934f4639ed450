"""How an arm is post-trained."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sgt.study.fields import Count, Precision, Probability, Strict, Weight

Part = Literal["understanding", "generation", "vision", "vocabulary"]


class Optimizer(Strict):
    """AdamW and its schedule. Defaults are the official SGT-BAGEL values."""

    lr: float = Field(1e-4, gt=0, description="peak learning rate")
    warmup: int = Field(0, ge=0, description="linear warm-up, steps")
    schedule: Literal["constant", "cosine"] = "constant"
    betas: tuple[Probability, Probability] = (0.9, 0.95)
    eps: float = Field(1e-15, gt=0)
    weight_decay: Weight = 0.0
    clip: float = Field(1.0, gt=0, description="maximum global gradient norm")
    rounding: Literal["nearest", "stochastic"] = Field(
        "nearest", description="of bf16 weights after an update; stochastic keeps small updates, on average"
    )


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
    length_weighted: bool = Field(
        False, description="weigh each answer's cross-entropy by 1/√(its tokens) instead of every token alike"
    )
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
    compile: bool = Field(False, description="fuse each layer's small operations; the first steps take minutes")
    precision: Precision = Field(
        "fp32", description="of training: bf16-autocast keeps weights and optimizer in fp32, bf16 keeps both in bf16"
    )

    @model_validator(mode="after")
    def _rounded(self) -> "Recipe":
        if self.optimizer.rounding == "stochastic" and self.precision != "bf16":
            raise ValueError(f"optimizer.rounding is of bf16 weights, precision is {self.precision}: remove it")
        return self

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
