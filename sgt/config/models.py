"""``config/models/NAME.yaml``: a model family at a size."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, Field, model_validator

from sgt.config.fields import Count, Folder, Name, Precision, Probability, Strict
from sgt.config.recipe import Optimizer


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


class Prediction(Resources):
    """What one job of prediction needs, and how many share the work."""

    shards: Count = Field(1, description="jobs that predict a benchmark at the same time, each on its own resources")


class Acceptance(Strict):
    """What a base model must reach on held-out scenes before anything is post-trained from it."""

    min_rank: float = Field(50.0, ge=1, description="effective rank of the vision tower's output")
    max_dead: Probability = Field(0.05, description="share of dead MLP units in the worst layer of the vision tower")
    min_use: Probability = Field(0.5, description="use of the input image, in edits and in super-resolution")
    min_left_right: Probability = Field(0.8, description="accuracy of questions about left and right")
    max_shape: Probability = Field(
        0.8, description="accuracy of questions about a shape, which must also exceed chance"
    )
    min_generation: Probability = Field(0.5, description="score of images made from captions")


class Pretrain(Strict):
    """How a base model is made from nothing (tiny models only; the 7B bases are fetched)."""

    dataset: Name = Field(description="dataset of the study to train on")
    vae_of: Name | None = Field(None, description="model whose VAE is used, instead of training one")
    vae_steps: Count | None = Field(None, description="optimizer steps of the VAE, if one is trained")
    vae_batch: Count = Field(32, description="images per step of the VAE")
    vae_lr: float = Field(2e-3, gt=0, description="peak learning rate of the VAE")
    steps: Count = Field(description="optimizer steps of the model")
    vqa_batch: Count = Field(description="image-and-questions samples per step")
    image_batch: Count = Field(description="text-to-image samples per step")
    edit_batch: int = Field(0, ge=0, description="samples per step of an image, an instruction and the edited image")
    sharpen_batch: int = Field(0, ge=0, description="samples per step of a blurred image and the sharp one")
    timestep_shift: float = Field(1.0, gt=0, description="of the flow's training times")
    optimizer: Optimizer = Field(description="of the model")
    save_every: Count = Field(500, description="steps between resumable checkpoints")
    health_every: int = Field(500, ge=0, description="steps between measurements of the vision tower; 0: at the end")
    accept: Acceptance = Field(Acceptance(), description="what `sgt accept` requires of the base weights")

    @model_validator(mode="after")
    def _one_vae(self) -> "Pretrain":
        if (self.vae_of is None) == (self.vae_steps is None):
            raise ValueError("vae_of and vae_steps: give one: a VAE is either reused or trained")
        return self


def _numbered(sizes: Any) -> Any:
    return {str(place): size for place, size in enumerate(sizes)} if isinstance(sizes, list) else sizes


# By the family's names. Model files of earlier versions have the numbers alone, in the order of those names, and call
# the fields vit_image, vqa_image and vae_image: then, their places are the names.
ImageSizes = Annotated[dict[str, Count], BeforeValidator(_numbered)]


class Release(Strict):
    """Weights that others post-trained and released, which a study evaluates as they are."""

    base: Name = Field(description="file of config/models with the weights that they were post-trained from")
    arm: Name = Field(description="what they were post-trained on, by the name that the paper's arm has here")


class Model(Strict):
    """``config/models/NAME.yaml``: a model family at a size."""

    name: Name = Field(description="as in the file's name")
    family: Name = Field(description="folder of sgt/models with the family's code and file layout, such as bagel")
    checkpoint: Folder = Field(description="folder of the base weights in the official layout")
    overlay: Folder | None = Field(None, description="folder of weights alone that replace the checkpoint's (SGT's)")
    released: Release | None = Field(
        None, description="of weights that others post-trained: which model's, on what. Tables name them so"
    )
    architecture: dict | None = Field(None, description="sizes of a model that can be pretrained here")
    pretrain: Pretrain | None = Field(None, description="how `make base` trains the base weights")
    input_image: ImageSizes = Field(
        validation_alias=AliasChoices("input_image", "vit_image"),
        description="how input images are scaled, in sizes that the family names. bagel: max_image_size and "
        "min_image_size (bounds of the long and of the short side), image_stride; omnigen2: max_pixels, min_pixels, "
        "image_stride",
    )
    vqa_input_image: ImageSizes | None = Field(
        None,
        validation_alias=AliasChoices("vqa_input_image", "vqa_image"),
        description="how input images of questions are scaled, if not as input_image says; of families such as bagel",
    )
    target_image: ImageSizes = Field(
        validation_alias=AliasChoices("target_image", "vae_image"),
        description="how target images are scaled, in sizes that the family names. bagel: max_image_size, "
        "min_image_size, image_stride; omnigen2: max_pixels, max_side_length, image_stride",
    )
    precision: Precision = Field("fp32", description="of prediction; a recipe says its own")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes CUDA where there is some")
    train: Resources = Field(Resources(), description="what a training job needs")
    predict: Prediction = Field(Prediction(), description="what a prediction job needs")

    @property
    def weight_folders(self) -> list[Path]:
        """The folders that the base weights are read from: the checkpoint, then the overlay if there is one."""
        return [Path(folder) for folder in (self.checkpoint, self.overlay) if folder]

    @model_validator(mode="after")
    def _pretrainable(self) -> "Model":
        if self.pretrain is None:
            return self
        if self.architecture is None:
            raise ValueError("pretrain needs architecture: give the sizes of the model, or remove pretrain")
        if "vae" not in self.architecture:
            raise ValueError("pretrain needs architecture.vae: give the sizes of the VAE, or remove pretrain")
        if self.pretrain.vae_of == self.name:
            raise ValueError("pretrain.vae_of: it has no VAE before it is trained: name another model, or vae_steps")
        return self
