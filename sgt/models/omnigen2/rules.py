"""What a study may set for an OmniGen2."""

import math

from sgt.config.fields import Count, Strict
from sgt.config.inference import SamplingOptions
from sgt.config.models import Model
from sgt.config.recipe import Recipe
from sgt.errors import SgtError
from sgt.models.configs import require_multiple
from sgt.models.omnigen2.config import OmniGen2Config, config_of
from sgt.models.rules import LargestSides, parse_images


class InputBounds(Strict):
    """How the processor of Qwen2.5-VL scales an image, named as in its configuration.

    Attributes:
        max_pixels, min_pixels: bounds of the scaled image's area.
        image_stride: pixels per token, per side.
    """

    max_pixels: Count
    min_pixels: Count
    image_stride: Count


class TargetBounds(Strict):
    """How an image for the VAE is scaled, named as in the official image processor; it is never enlarged.

    Attributes:
        max_pixels: of the scaled image's area.
        max_side_length: the long side is at most this, pixels.
        image_stride: both sides are rounded down to a multiple of this, pixels.
    """

    max_pixels: Count
    max_side_length: Count
    image_stride: Count


class OmniGen2Images(Strict):
    """The image settings of ``config/models``."""

    input_image: InputBounds
    target_image: TargetBounds


class OmniGen2Rules:
    """See :class:`sgt.models.rules.FamilyRules`."""

    weights = ("transformer/diffusion_pytorch_model.safetensors", "mllm/model.safetensors")

    def images(self, spec: Model) -> OmniGen2Images:
        """See :meth:`FamilyRules.images`."""
        if spec.vqa_input_image:
            raise SgtError("vqa_input_image", "OmniGen2 scales all input images as input_image says", "remove it")
        return parse_images(spec, OmniGen2Images)

    def largest_sides(self, spec: Model) -> LargestSides:
        """See :meth:`FamilyRules.largest_sides`."""
        images = self.images(spec)
        side, target = math.isqrt(images.input_image.max_pixels), images.target_image
        return LargestSides(side, side, min(math.isqrt(target.max_pixels), target.max_side_length))

    def check_model(self, spec: Model) -> None:
        """See that its images fit its towers and position tables."""
        images = self.images(spec)
        shown, target = images.input_image, images.target_image
        if shown.min_pixels > shown.max_pixels:
            raise SgtError("input_image.min_pixels", f"{shown.min_pixels} is above max_pixels", "swap them")
        if spec.architecture is None:
            return
        config = config_of(spec.architecture)
        _check_sizes(config)
        vision, latent = config.mllm["vision_config"], config.latent_stride
        token = vision["patch_size"] * vision["spatial_merge_size"]
        if shown.image_stride != token:
            problem = f"{shown.image_stride}, a token of the vision tower has {token} pixels"
            raise SgtError("input_image.image_stride", problem, "make them equal")
        stride, longest = target.image_stride, target.max_side_length
        require_multiple("target_image.image_stride", stride, latent, "the pixels of a latent token")
        tokens, side = max(stride, longest // stride * stride) // latent, min(config.transformer.axes_lens[1:])
        if tokens > side:
            problem = f"{longest} pixels are {tokens} tokens, the position table has {side} per side"
            raise SgtError("target_image.max_side_length", problem, f"use at most {side * latent}, or a larger table")

    def check_recipe(self, recipe: Recipe) -> None:
        """Nothing of it is compiled."""
        if recipe.compile:
            raise SgtError("compile", "OmniGen2 is not compiled", "remove it, or give the model a recipe of its own")

    def check_generation(self, sampling: SamplingOptions) -> None:
        """It does not think before it draws."""
        if sampling.system:
            raise SgtError("system", "OmniGen2 does not think before it draws", "remove the system text")

    def target_side(self, spec: Model, side: int) -> int:
        """As :class:`sgt.models.omnigen2.images.ReferenceTransform` scales a square."""
        bounds = self.images(spec).target_image
        ratio = min(1.0, math.sqrt(bounds.max_pixels) / side, bounds.max_side_length / side)
        return max(bounds.image_stride, int(side * ratio) // bounds.image_stride * bounds.image_stride)


def _check_sizes(config: OmniGen2Config) -> None:
    drawing, language, vae = config.transformer, config.mllm, config.vae
    vision, where = language["vision_config"], "architecture"
    require_multiple(
        f"{where}.transformer.hidden_size", drawing.hidden_size, drawing.num_attention_heads, "its attention heads"
    )
    require_multiple(
        f"{where}.transformer.num_attention_heads", drawing.num_attention_heads, drawing.num_kv_heads, "its kv heads"
    )
    require_multiple(
        f"{where}.mllm.hidden_size", language["hidden_size"], 2 * language["num_attention_heads"], "twice its heads"
    )
    require_multiple(
        f"{where}.mllm.num_attention_heads",
        language["num_attention_heads"],
        language["num_key_value_heads"],
        "its key-value heads",
    )
    require_multiple(
        f"{where}.mllm.vision_config.hidden_size", vision["hidden_size"], vision["num_heads"], "its attention heads"
    )
    for times in vae.ch_mult:
        require_multiple(f"{where}.vae.ch", vae.ch * times, vae.norm_groups, "its norm_groups")
    half_head = language["hidden_size"] // language["num_attention_heads"] // 2
    for field, one, other, what in (
        ("transformer.axes_dim_rope", sum(drawing.axes_dim_rope), drawing.head_dim, "numbers of a head"),
        ("transformer.text_feat_dim", drawing.text_feat_dim, language["hidden_size"], "width of the language model"),
        ("transformer.in_channels", drawing.in_channels, vae.z_channels, "channels of a latent"),
        ("mllm.rope_scaling.mrope_section", _rotated(language), half_head, "pairs of numbers of a head"),
        ("mllm.vision_config.out_hidden_size", vision["out_hidden_size"], language["hidden_size"], "width it feeds"),
    ):
        if one != other:
            raise SgtError(f"{where}.{field}", f"{one}, the {what} is {other}", "make them equal")
    if any(axis % 2 for axis in drawing.axes_dim_rope):
        axes = list(drawing.axes_dim_rope)
        raise SgtError(f"{where}.transformer.axes_dim_rope", f"{axes} are not all even", "make them so")
    for field in ("axes_dim_rope", "axes_lens"):
        if len(getattr(drawing, field)) != 3:
            raise SgtError(f"{where}.transformer.{field}", f"{getattr(drawing, field)} is not for 3 axes", "give 3")


def _rotated(language: dict) -> int:
    return sum(language["rope_scaling"].get("mrope_section", ()))


RULES = OmniGen2Rules()
