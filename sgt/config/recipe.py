"""How an arm is post-trained."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sgt.config.fields import Count, Precision, Probability, Share, Strict, Weight

Decay = Annotated[float, Field(ge=0, lt=1)]
Part = Literal["understanding", "generation", "vision", "vocabulary"]
TimeShift = Annotated[float, Field(gt=0)] | Literal["dynamic_v1", "static_v1", "dynamic_v2"]
TimeSampling = Literal["lognormal", "stratified_uniform"]

# Fields of a recipe that change what is written down or kept, and no weight; or those of a single arm, whose identity
# has its value apart.
WITHOUT_EFFECT = {"save_every", "keep_last", "validate_every", "validate_samples", "sft_compute_batch"}


class Optimizer(Strict):
    """AdamW and its schedule. Defaults are the official SGT-BAGEL values."""

    lr: float = Field(1e-4, gt=0, description="peak learning rate")
    warmup: int = Field(0, ge=0, description="linear warm-up, steps")
    schedule: Literal["constant", "cosine"] = Field("constant", description="of the learning rate after the warm-up")
    betas: tuple[Decay, Decay] = Field((0.9, 0.95), description="decay of both moment estimates")
    eps: float = Field(1e-15, gt=0, description="added to the denominator of the update")
    weight_decay: Weight = Field(0.0, description="decoupled weight decay")
    clip: float = Field(1.0, gt=0, description="maximum global gradient norm")
    rounding: Literal["nearest", "stochastic"] = Field(
        "nearest", description="of bf16 weights after an update; stochastic keeps small updates, on average"
    )


class LoRA(Strict):
    """Low-rank adapters on the linear layers of some parts; everything else is frozen."""

    rank: Count = Field(description="of the two factors of each update")
    alpha: float = Field(gt=0, description="the update is scaled by alpha / rank")
    parts: Annotated[list[Literal["understanding", "generation"]], Field(min_length=1)] = Field(
        description="parts of the model that have adapters"
    )


class Recipe(Strict):
    """How an arm is post-trained. ``docs/training.md`` lists the official recipes and what they deviate in."""

    steps: Count = Field(description="optimizer steps; the last one is saved")
    batch: Count = Field(description="samples per optimizer step in a proxy arm, both kinds together")
    ratio: tuple[Count, Count] = Field((2, 1), description="proxy : VQA, in samples per optimizer step, exact")
    sampling_weights: tuple[Share, Share] | None = Field(
        None, description="proxy : VQA as chances, after one of each per step, as SGT-BAGEL draws (1:5); not exact"
    )
    sft_compute_batch: Count | None = Field(
        None,
        description="VQA samples per optimizer step in the arm sft-compute; null: as many as take the operations "
        "of a proxy arm's step, by the sizes of the model",
    )
    order: Literal["mixed", "sequential"] = Field(
        "mixed", description="both kinds in every step, or all proxy samples before all VQA samples"
    )
    max_tokens_per_pack: Count | None = Field(
        None, description="tokens per pack; a step's samples fill as many packs as they need. Null: one pack"
    )
    supervise: Literal["target", "input"] = Field(
        "target", description="what a proxy arm learns to make; input is the fault of SGT's code until 31bf445"
    )
    optimizer: Optimizer = Field(Optimizer(), description="AdamW and its schedule")
    ce_weight: Weight = Field(1.5, description="weight of the text cross-entropy")
    length_weighted: bool = Field(
        False, description="weigh each answer's cross-entropy by 1/√(its tokens) instead of every token alike"
    )
    mse_weight: Weight = Field(1.0, description="weight of the flow-matching error")
    official_accumulation: Count = Field(
        1,
        description="reproduces a fault of the SGT-Gen2 trainer, whose flow-matching error counts as many times as "
        "it accumulates micro-batches (30) and its cross-entropy once; 1 weighs both as the two weights say",
    )
    timestep_shift: TimeShift = Field(
        1.0, description="of the flow's training times: a number, or OmniGen2's by image size (dynamic) or not (static)"
    )
    time_sampling: TimeSampling = Field("lognormal", description="how the flow's training times are drawn")
    text_dropout: Probability = Field(0.1, description="probability that a proxy's instruction is dropped")
    ema: float = Field(
        0.0, ge=0, lt=1, description="decay of the weight average that is saved; 0 saves the raw weights"
    )
    save_every: Count = Field(100, description="steps between resumable checkpoints")
    keep_last: Count = Field(2, description="resumable checkpoints that are kept")
    validate_every: int = Field(0, ge=0, description="steps between validations; 0: after the last step alone")
    validate_samples: Count = Field(32, description="held-out samples of each kind that a validation is over")
    trains: Annotated[list[Part], Field(min_length=1)] = Field(
        ["understanding", "generation", "vision", "vocabulary"], description="parts that are not frozen"
    )
    lr_scale: dict[Part, Annotated[float, Field(gt=0)]] = Field(
        {}, description="learning rate of a part as a multiple of the optimizer's; 1 where a part is not named"
    )
    lora: LoRA | None = Field(None, description="train adapters instead of the weights")
    activation_checkpointing: bool = Field(False, description="recompute activations in the backward pass")
    compile: bool = Field(False, description="fuse each layer's small operations; the first steps take minutes")
    precision: Precision = Field(
        "fp32", description="of training: bf16-autocast keeps weights and optimizer in fp32, bf16 keeps both in bf16"
    )

    @property
    def flow_weight(self) -> float:
        """What the flow-matching error is multiplied by."""
        return self.mse_weight * self.official_accumulation

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
    def _scales_of_what_is_trained(self) -> "Recipe":
        if frozen := [part for part in self.lr_scale if part not in (self.lora.parts if self.lora else self.trains)]:
            raise ValueError(f"lr_scale: {frozen[0]} is frozen: remove it, or train it")
        return self

    @model_validator(mode="after")
    def _one_mixture(self) -> "Recipe":
        if self.sampling_weights:
            if "ratio" in self.model_fields_set:
                raise ValueError("sampling_weights and ratio contradict each other: remove one")
            if self.order == "sequential":
                raise ValueError(
                    "sampling_weights draw every step anew, so their order cannot be sequential: use ratio"
                )
            if self.batch < 2:
                raise ValueError("batch 1 has no room for one sample of each kind: use at least 2")
            return self
        proxy, vqa = self.ratio
        if self.batch % (proxy + vqa):
            raise ValueError(
                f"batch {self.batch} is not a multiple of {proxy}+{vqa}, so ratio {proxy}:{vqa} cannot be exact"
            )
        if self.order == "sequential" and self.steps % (proxy + vqa):
            raise ValueError(
                f"steps {self.steps} is not a multiple of {proxy}+{vqa}, so the kinds cannot follow one another exactly"
            )
        return self

    @model_validator(mode="after")
    def _no_fewer_questions(self) -> "Recipe":
        if self.sft_compute_batch and not self.sampling_weights and self.sft_compute_batch < self.samples[1]:
            raise ValueError(
                f"sft_compute_batch {self.sft_compute_batch} is below the {self.samples[1]} samples of sft: raise it"
            )
        return self

    @property
    def samples(self) -> tuple[int, int]:
        """Proxy and VQA samples per mixed step."""
        unit = self.batch // sum(self.ratio)
        return unit * self.ratio[0], unit * self.ratio[1]
