"""What a study may set for a BAGEL."""

from sgt.config.fields import Count, Strict
from sgt.config.inference import SamplingOptions
from sgt.config.models import Model
from sgt.config.recipe import Recipe, TimeShift
from sgt.errors import SgtError
from sgt.models.bagel.config import BagelConfig, config_of
from sgt.models.configs import require_multiple
from sgt.models.rules import LargestSides, parse_images


class SideBounds(Strict):
    """How an image is scaled, named as in the official data configuration.

    Attributes:
        max_image_size: the long side is at most this, pixels.
        min_image_size: the short side is at least this, unless the long side would be too long, pixels.
        image_stride: both sides become multiples of this, pixels.
    """

    max_image_size: Count
    min_image_size: Count
    image_stride: Count


class BagelImages(Strict):
    """The image settings of ``config/models``."""

    input_image: SideBounds
    vqa_input_image: SideBounds | None = None
    target_image: SideBounds


class BagelRules:
    """See :class:`sgt.models.rules.FamilyRules`."""

    weights = ("ema.safetensors",)

    def images(self, spec: Model) -> BagelImages:
        """See :meth:`FamilyRules.images`."""
        return parse_images(spec, BagelImages)

    def largest_sides(self, spec: Model) -> LargestSides:
        """See :meth:`FamilyRules.largest_sides`."""
        images = self.images(spec)
        vqa = images.vqa_input_image or images.input_image
        return LargestSides(images.input_image.max_image_size, vqa.max_image_size, images.target_image.max_image_size)

    def check_model(self, spec: Model) -> None:
        """See that its images fit its position tables."""
        images = self.images(spec)
        if spec.architecture is None:
            return
        config = config_of(spec.architecture)
        _check_sizes(config)
        patch, latent = config.vit.patch_size, config.latent_stride
        for field, bounds in (("input_image", images.input_image), ("vqa_input_image", images.vqa_input_image)):
            if bounds is None:
                continue
            if bounds.image_stride != patch:
                problem = f"{bounds.image_stride}, a patch has {patch} pixels"
                raise SgtError(f"{field}.image_stride", problem, "make them equal")
            _check_table(field, bounds, patch, config.vit.side)
        stride = images.target_image.image_stride
        require_multiple("target_image.image_stride", stride, latent, "the pixels of a latent token")
        _check_table("target_image", images.target_image, latent, config.max_latent_size)

    def check_recipe(self, recipe: Recipe) -> None:
        """Time shifts by image size and stratified times are OmniGen2's."""
        remedy = "give the model a recipe of its own under recipes, or remove it"
        constant_shift(recipe.timestep_shift, remedy)
        if recipe.time_sampling != "lognormal":
            raise SgtError("time_sampling", f"{recipe.time_sampling!r} is OmniGen2's, not BAGEL's", remedy)

    def check_generation(self, sampling: SamplingOptions) -> None:
        """Time shifts by image size, other solvers and negative prompts are OmniGen2's."""
        given = {
            "timestep_shift": isinstance(sampling.timestep_shift, str),
            "solver": sampling.solver != "euler",
            "negative_prompt": sampling.negative_prompt is not None,
        }
        for field in (field for field, is_given in given.items() if is_given):
            raise SgtError(field, f"{getattr(sampling, field)!r} is OmniGen2's, not BAGEL's", "remove it")

    def target_side(self, spec: Model, side: int) -> int:
        """As :class:`sgt.models.transforms.ImageTransform` scales a square."""
        bounds = self.images(spec).target_image
        scaled = min(bounds.max_image_size, max(side, bounds.min_image_size))
        return max(bounds.image_stride, round(scaled / bounds.image_stride) * bounds.image_stride)


def constant_shift(shift: TimeShift, remedy: str = "give a number") -> float:
    """The time shift, which BAGEL has the same for images of every size.

    Raises:
        SgtError: it is not a number.
    """
    if isinstance(shift, str):
        raise SgtError("timestep_shift", f"{shift!r} is OmniGen2's, not BAGEL's", remedy)
    return shift


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


def _check_table(field: str, bounds: SideBounds, token: int, side: int) -> None:
    longest, stride = bounds.max_image_size, bounds.image_stride
    tokens = max(1, round(longest / stride)) * stride // token
    if tokens > side:
        problem = f"{longest} pixels are {tokens} tokens, the position table has {side} per side"
        raise SgtError(f"{field}.max_image_size", problem, f"use at most {side * token}, or a larger table")


RULES = BagelRules()
