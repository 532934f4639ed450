"""``config/models/NAME.yaml``: a model family at a size."""

from typing import Literal

from pydantic import Field, model_validator

from sgt.study.fields import Count, Name, Precision, Strict
from sgt.study.recipe import Optimizer


class Resources(Strict):
    """What one job of a model needs; the workflow passes it to the scheduler."""

    gpu: int = Field(0, ge=0, description="GPUs per node; 0 runs on the CPU")
    nodes: Count = Field(1, description="nodes of a training job, with SLURM")
    threads: Count = Field(1, description="CPU threads per node")
    mem_mb: Count = Field(2000, description="host memory, MB")
    runtime: Count = Field(60, description="time limit, minutes")

    @model_validator(mode="after")
    def _whole_nodes(self) -> "Resources":
        if self.nodes > 1 and self.gpu < 2:
            raise ValueError(f"nodes: {self.nodes} nodes of {self.gpu} GPUs: use one node, or several GPUs on each")
        return self


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
    precision: Precision = Field("fp32", description="of prediction; a recipe says its own")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes CUDA where there is some")
    train: Resources = Resources()
    predict: Resources = Resources()

    @model_validator(mode="after")
    def _pretrainable(self) -> "Model":
        if self.pretrain and self.architecture is None:
            raise ValueError("pretrain needs architecture: give the sizes of the model, or remove pretrain")
        return self
