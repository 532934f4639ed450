"""Sizes of a Transfusion, and what a study may set for one. Studies are checked with this, so it imports no torch."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from sgt.config.fields import Count, Strict
from sgt.config.inference import SamplingOptions
from sgt.config.models import Model
from sgt.config.recipe import Recipe
from sgt.errors import SgtError
from sgt.models.configs import VAEConfig, check_architecture, pick, require_multiple
from sgt.models.rules import LargestSides, parse_images


@dataclass(frozen=True)
class TransfusionConfig:
    """``patch``: pixels per token and side of an input image; ``grid``: tokens per side of the largest image."""

    vocab_size: int = 32000
    width: int = 1024
    layers: int = 16
    heads: int = 16
    positions: int = 4096
    patch: int = 16
    grid: int = 32
    vae: VAEConfig = field(default_factory=VAEConfig)

    @property
    def latent_stride(self) -> int:
        """Image pixels per latent token and side: it is two by two latent cells."""
        return 2 * self.vae.downsample


def config_of(values: dict[str, Any], vocab_size: int | None = None) -> TransfusionConfig:
    """The sizes in ``architecture`` of ``config/models``, or in ``config.json``."""
    check_architecture(values, asdict(TransfusionConfig()))
    config = pick(TransfusionConfig, {**values, "vae": pick(VAEConfig, values.get("vae", {}))})
    return replace(config, vocab_size=vocab_size or config.vocab_size)


class Scale(Strict):
    max_side: Count
    image_stride: Count


class Images(Strict):
    input_image: Scale
    target_image: Scale


class TransfusionRules:
    weights = ("model.safetensors",)

    def images(self, spec: Model) -> Images:
        return parse_images(spec, Images)

    def largest_sides(self, spec: Model) -> LargestSides:
        shown, target = self.images(spec).input_image.max_side, self.images(spec).target_image.max_side
        return LargestSides(input=shown, vqa_input=shown, target=target)

    def check_model(self, spec: Model) -> None:
        images = self.images(spec)
        if spec.architecture is None:
            return
        config = config_of(spec.architecture)
        require_multiple("architecture.width", config.width, config.heads, "its heads")
        for times in config.vae.ch_mult:
            require_multiple("architecture.vae.ch", config.vae.ch * times, config.vae.norm_groups, "its norm_groups")
        strides = {"input_image": config.patch, "target_image": config.latent_stride}
        for name, stride in strides.items():
            scale = getattr(images, name)
            if scale.image_stride != stride:
                problem = f"{scale.image_stride}, a token has {stride} pixels"
                raise SgtError(f"{name}.image_stride", problem, "make them equal")
            if scale.max_side > config.grid * stride:
                problem = f"{scale.max_side}, the model has {config.grid} tokens per side"
                raise SgtError(f"{name}.max_side", problem, f"use at most {config.grid * stride}")

    def check_recipe(self, recipe: Recipe) -> None:
        if recipe.compile:
            raise SgtError("compile", "a Transfusion is not compiled", "remove it")

    def check_generation(self, sampling: SamplingOptions) -> None:
        for name in ("system", "negative_prompt"):
            if getattr(sampling, name) is not None:
                raise SgtError(name, "a Transfusion has none when it makes images", "remove it")

    def target_side(self, spec: Model, side: int) -> int:
        scale = self.images(spec).target_image
        return max(scale.image_stride, round(min(side, scale.max_side) / scale.image_stride) * scale.image_stride)


RULES = TransfusionRules()
