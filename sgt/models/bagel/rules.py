"""What a study may ask of a BAGEL."""

from collections.abc import Sequence

from sgt.config.benchmarks import SamplingOptions
from sgt.config.models import Model
from sgt.config.recipe import Recipe
from sgt.errors import SgtError
from sgt.models.bagel.config import BagelConfig, config_of
from sgt.models.configs import require_multiple


class BagelRules:
    """See :class:`sgt.models.rules.FamilyRules`."""

    def check_model(self, spec: Model) -> None:
        """See that its images fit its position tables."""
        if spec.architecture is None:
            return
        config = config_of(spec.architecture)
        _check_sizes(config)
        patch, latent = config.vit.patch_size, config.latent_stride
        for field in ("vit_image", "vqa_image"):
            bounds = getattr(spec, field)
            if bounds is None:
                continue
            if bounds[2] != patch:
                raise SgtError(field, f"stride {bounds[2]}, a patch has {patch} pixels", "make them equal")
            _check_table(field, bounds, patch, config.vit.side)
        require_multiple("vae_image", spec.vae_image[2], latent, "the pixels of a latent token")
        _check_table("vae_image", spec.vae_image, latent, config.max_latent_size)

    def check_recipe(self, recipe: Recipe) -> None:
        """Time shifts by image size and stratified times are OmniGen2's."""
        remedy = "give the model a recipe of its own under recipes, or remove it"
        if isinstance(recipe.timestep_shift, str):
            raise SgtError("timestep_shift", f"{recipe.timestep_shift!r} is OmniGen2's, not BAGEL's", remedy)
        if recipe.time_sampling != "lognormal":
            raise SgtError("time_sampling", f"{recipe.time_sampling!r} is OmniGen2's, not BAGEL's", remedy)

    def check_generation(self, sampling: SamplingOptions) -> None:
        """Time shifts by image size, other solvers and negative prompts are OmniGen2's."""
        asked = {
            "timestep_shift": isinstance(sampling.timestep_shift, str),
            "solver": sampling.solver != "euler",
            "negative_prompt": sampling.negative_prompt is not None,
        }
        for field in (field for field, given in asked.items() if given):
            raise SgtError(field, f"{getattr(sampling, field)!r} is OmniGen2's, not BAGEL's", "remove it")

    def made_side(self, spec: Model, side: int) -> int:
        """As :class:`sgt.models.transforms.ImageTransform` scales a square."""
        longest, shortest, stride = spec.vae_image
        return max(stride, round(min(longest, max(side, shortest)) / stride) * stride)


def _check_sizes(config: BagelConfig) -> None:
    llm, vit, vae = config.llm, config.vit, config.vae
    heads, groups = "architecture.llm.hidden_size", "architecture.vae.ch"
    require_multiple(heads, llm.hidden_size, 2 * llm.num_attention_heads, "twice its attention heads")
    require_multiple(
        "architecture.llm.num_attention_heads", llm.num_attention_heads, llm.num_key_value_heads, "its key-value heads"
    )
    require_multiple("architecture.vit.hidden_size", vit.hidden_size, vit.num_attention_heads, "its attention heads")
    for times in vae.ch_mult:
        require_multiple(groups, vae.ch * times, vae.norm_groups, "its norm_groups")


def _check_table(field: str, bounds: Sequence[int], token: int, side: int) -> None:
    longest, _, stride = bounds
    tokens = max(1, round(longest / stride)) * stride // token
    if tokens > side:
        problem = f"{longest} pixels are {tokens} tokens, the position table has {side} per side"
        raise SgtError(field, problem, f"use at most {side * token} pixels, or a larger table")
