"""What a study may ask of an OmniGen2."""

import math

from sgt.config.benchmarks import SamplingOptions
from sgt.config.models import Model
from sgt.config.recipe import Recipe
from sgt.errors import SgtError
from sgt.models.configs import require_multiple
from sgt.models.omnigen2.config import OmniGen2Config, config_of


class OmniGen2Rules:
    """See :class:`sgt.models.rules.FamilyRules`."""

    def check_model(self, spec: Model) -> None:
        """See that its images fit its towers and position tables."""
        most, fewest, stride = spec.vit_image
        if fewest > most:
            raise SgtError("vit_image", f"fewest pixels {fewest}, most {most}", "swap them")
        if spec.architecture is None:
            return
        config = config_of(spec.architecture)
        _check_sizes(config)
        vision, latent = config.mllm["vision_config"], config.latent_stride
        token = vision["patch_size"] * vision["spatial_merge_size"]
        if stride != token:
            raise SgtError("vit_image", f"stride {stride}, a token of the vision tower has {token}", "make them equal")
        _, longest, stride = spec.vae_image
        require_multiple("vae_image", stride, latent, "the pixels of a latent token")
        tokens, side = max(stride, longest // stride * stride) // latent, min(config.transformer.axes_lens[1:])
        if tokens > side:
            problem = f"{longest} pixels are {tokens} tokens, the position table has {side} per side"
            raise SgtError("vae_image", problem, f"use at most {side * latent} pixels, or a larger table")

    def check_recipe(self, recipe: Recipe) -> None:
        """Nothing of it is compiled."""
        if recipe.compile:
            raise SgtError("compile", "OmniGen2 is not compiled", "remove it, or give the model a recipe of its own")

    def check_generation(self, sampling: SamplingOptions) -> None:
        """It does not think before it draws."""
        if sampling.system:
            raise SgtError("system", "OmniGen2 does not think before it draws", "remove the system text")

    def made_side(self, spec: Model, side: int) -> int:
        """As :class:`sgt.models.omnigen2.images.ReferenceTransform` scales a square."""
        most, longest, stride = spec.vae_image
        return max(stride, int(side * min(1.0, math.sqrt(most) / side, longest / side)) // stride * stride)


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
