"""What a recipe needs of a machine: memory per device, operations and time per step, disk; from sizes alone.

Weights, gradients, optimizer state and average are exact. Activations are what the layers keep for the backward pass,
counted tensor by tensor. The sum leaves out what the allocator wastes, so ``fits`` leaves some room.
"""

import math
from dataclasses import dataclass

from sgt.config.fields import Precision
from sgt.config.models import Model
from sgt.config.recipe import Recipe
from sgt.config.samples import Samples, TypicalText
from sgt.models.cross_entropy import LOGITS_AT_ONCE, words_at_once
from sgt.models.rules import rules_of
from sgt.models.sizes import ModelSizes, Stack, Tokens, forward_flops
from sgt.models.vae import images_at_once

GB = 1e9
# Assumed text tokens of a proxy's instruction.
INSTRUCTION = 8
# Share of a device that the sum may take: the rest is for the driver, workspaces and fragmentation.
USABLE = 0.92
# Dense bf16 operations per second of an H100 or H200, and the share of them that the time estimate assumes.
PEAK_FLOPS, MFU = 989e12, 0.4


@dataclass(frozen=True)
class Memory:
    """Bytes on each device while a recipe trains.

    Attributes:
        weights: of network and VAE, as they lie there.
        gradients, optimizer, average: of what is trained.
        gathered: weights of other devices' shares, or in another precision, that a pass needs at once.
        activations: what a pass keeps.
        logits: of supervised text tokens, and their gradients, as many as the loss holds at once.
    """

    weights: int
    gradients: int
    optimizer: int
    average: int
    gathered: int
    activations: int
    logits: int

    @property
    def total(self) -> int:
        """All of it."""
        return sum(vars(self).values())

    def fits(self, gigabytes: float) -> bool:
        """Whether a device of that size holds it, with room for what is not counted."""
        return has_room(gigabytes, self.total)


def has_room(gigabytes: float, needed: int) -> bool:
    """Whether a device of that size holds so many bytes, with room for what is not counted."""
    return needed <= USABLE * gigabytes * GB


def trainable_values(sizes: ModelSizes, recipe: Recipe) -> int:
    """How many values a recipe trains."""
    if recipe.lora:
        return recipe.lora.rank * sum(sizes.adapters[part] for part in recipe.lora.parts)
    return sum(sizes.parameters[part] for part in recipe.trains)


def step_samples(recipe: Recipe) -> tuple[int, int]:
    """Proxy and VQA samples of a proxy arm's optimizer step, on average."""
    if recipe.sampling_weights:
        chance = recipe.sampling_weights[0] / sum(recipe.sampling_weights)
        proxies = 1 + round((recipe.batch - 2) * chance)
        questions = recipe.batch - proxies
    else:
        proxies, questions = recipe.samples
    return proxies, questions


def step_tokens(spec: Model, sizes: ModelSizes, samples: tuple[int, int], text: TypicalText = Samples.text) -> Tokens:
    """Tokens of an optimizer step: square images at the longest side, texts of a usual length.

    Args:
        spec, sizes: of the model.
        samples: proxy and VQA samples of the step.
        text: of a VQA sample.
    """
    proxies, questions = samples
    sides = rules_of(spec.family).largest_sides(spec)
    shown, questioned = ((side // sizes.patch) ** 2 for side in (sides.input, sides.vqa_input))
    target = (sides.target // sizes.latent) ** 2
    instruction = INSTRUCTION + sizes.template.proxy
    before = questioned + sizes.template.questions
    answered = text.tokens + text.turns * sizes.template.turn
    # A token of an independent question attends to what is before all questions, and to its own.
    longest = answered // text.turns if text.independent else answered
    return Tokens(
        text=proxies * instruction + questions * (sizes.template.questions + answered),
        input_image=proxies * shown + questions * questioned,
        target_image=proxies * target,
        supervised=questions * (text.answers + text.turns),
        pairs=proxies * (shown + target + instruction) ** 2 // 2
        + questions * (before**2 // 2 + answered * (before + longest // 2)),
        vision_pairs=proxies * shown**2 + questions * questioned**2,
        condition=proxies * (shown + instruction),
    )


def equal_questions(spec: Model, sizes: ModelSizes, recipe: Recipe, text: TypicalText) -> int:
    """VQA samples of a step without a proxy that take as many operations as a proxy arm's step, to the nearest."""

    def flops(samples: tuple[int, int]) -> int:
        return step_flops(sizes, recipe, step_tokens(spec, sizes, samples, text))

    return max(1, round(flops(step_samples(recipe)) / flops((0, 1))))


def share(tokens: Tokens, devices: int) -> Tokens:
    """The tokens of each of some devices, if samples are spread evenly."""
    return Tokens(**{name: -(-count // devices) for name, count in vars(tokens).items()})


def pack(tokens: Tokens, recipe: Recipe) -> Tokens:
    """What a device has in memory at once of its share of a step: all of it, or a pack of it."""
    part = min(1.0, recipe.max_tokens_per_pack / tokens.all) if recipe.max_tokens_per_pack else 1.0
    return Tokens(**{name: math.ceil(part * count) for name, count in vars(tokens).items()})


def memory(sizes: ModelSizes, recipe: Recipe, tokens: Tokens, image_pixels: int, devices: int = 1) -> Memory:
    """Bytes on each of some devices among which the weights are spread by rows.

    Args:
        sizes: of the model.
        recipe: its precision, adapters, average, and whether activations are recomputed.
        tokens: that one device works through at once.
        image_pixels: of the largest image that the VAE encodes.
        devices: how many.
    """
    stored = 2 if recipe.precision == "bf16" else 4
    computed = 4 if recipe.precision == "fp32" else 2
    trained = trainable_values(sizes, recipe)
    added = trained if recipe.lora else 0
    gathered = 0
    if devices > 1:
        gathered = computed * (2 * sizes.block + sizes.parameters["vocabulary"])
    elif recipe.precision == "bf16-autocast":
        gathered = computed * (sizes.total + added)
    at_once = images_at_once(1, image_pixels) * image_pixels if image_pixels else 0
    pixels = min(at_once, tokens.target_image * sizes.latent**2)
    # Of the first level's width: its input, and of a block its input, what it adds so far, and two within it.
    encoded = 5 * 4 * sizes.autoencoder_width * pixels
    kept = _kept(sizes.decoder, recipe, tokens.all, stored, computed)
    kept += _kept(sizes.encoder, recipe, tokens.input_image, stored, computed)
    return Memory(
        weights=stored * (sizes.total + added) // devices + 4 * sizes.autoencoder,
        gradients=stored * trained // devices,
        optimizer=2 * stored * trained // devices,
        average=4 * trained // devices if recipe.ema else 0,
        gathered=gathered,
        activations=max(kept, encoded),
        logits=_logits(sizes, tokens.supervised, computed),
    )


def weight_bytes(sizes: ModelSizes, precision: Precision) -> int:
    """Of the weights of network and VAE on a device that evaluates a model."""
    return (2 if precision == "bf16" else 4) * sizes.total + 4 * sizes.autoencoder


def _logits(sizes: ModelSizes, supervised: int, computed: int) -> int:
    """Bytes of the logits that :func:`sgt.models.cross_entropy.cross_entropy` holds at its peak."""
    logits = supervised * sizes.vocabulary
    if logits <= LOGITS_AT_ONCE:
        return (computed + 8 + computed) * logits
    # Those of a part of the vocabulary, in fp32 and as they are multiplied, and the gradient of the hidden states.
    at_once = 4 if computed == 4 else 4 + computed
    return at_once * supervised * words_at_once(supervised) + 4 * supervised * sizes.decoder.width


def kept_per_token(stack: Stack, stored: int, computed: int) -> int:
    """Bytes that a layer keeps per token for the backward pass.

    Args:
        stack: of such layers.
        stored, computed: bytes of a weight and of a factor in a matrix product.
    """
    # Under autocast each product casts its input for itself: three for heads, and those into the MLP.
    casts = 3 + stack.matrices - 1 if stored != computed else 2
    kept = casts * computed * stack.width + 5 * computed * stack.queries
    if stack.matrices == 2:
        return kept + 2 * stored * stack.width + 2 * computed * stack.hidden
    # RMS norms keep their input in fp32 and their quotient; those of queries and keys, their heads too.
    norms = 2 * (4 + stored) * stack.width + (4 + computed) * (stack.queries + stack.keys)
    return kept + norms + 4 * computed * stack.hidden


def _kept(stack: Stack, recipe: Recipe, tokens: int, stored: int, computed: int) -> int:
    layer = kept_per_token(stack, stored, computed)
    per_token = stored * stack.width * stack.layers + layer if recipe.activation_checkpointing else layer * stack.layers
    return per_token * tokens


def step_flops(sizes: ModelSizes, recipe: Recipe, tokens: Tokens) -> int:
    """Operations of an optimizer step. Adapted weights take no gradient; recomputed activations are not counted."""
    encoded = round(sizes.encoding * tokens.target_image * sizes.latent**2)
    return (2 if recipe.lora else 3) * forward_flops(sizes, tokens) + encoded


def flops_per_token(spec: Model, sizes: ModelSizes, recipe: Recipe) -> float:
    """Operations of training, per token of a proxy arm's step."""
    tokens = step_tokens(spec, sizes, step_samples(recipe))
    return step_flops(sizes, recipe, tokens) / tokens.all


def checkpoint_bytes(sizes: ModelSizes) -> int:
    """Of a finished run: the network in bf16, the VAE in fp32."""
    return 2 * sizes.total + 4 * sizes.autoencoder


def progress_bytes(sizes: ModelSizes, recipe: Recipe) -> int:
    """Of one resumable checkpoint: what is trained, its moments, and its average."""
    stored = 2 if recipe.precision == "bf16" else 4
    return (3 * stored + (4 if recipe.ema else 0)) * trainable_values(sizes, recipe)
