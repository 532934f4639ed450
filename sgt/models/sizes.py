"""How large a model is, by part, and the arithmetic of one forward pass: from its sizes alone, without weights."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from sgt.config.recipe import Part
from sgt.models.vae import VAE


@dataclass(frozen=True)
class Stack:
    """A stack of transformer layers.

    Attributes:
        layers, width: how many, and of which width.
        queries, keys: width of all query heads and of all key heads.
        hidden: width within the MLP.
        matrices: of the MLP: 3 if it is gated, else 2.
    """

    layers: int
    width: int
    queries: int
    keys: int
    hidden: int
    matrices: int


@dataclass(frozen=True)
class Template:
    """Tokens that a family puts around the texts and images of an example.

    Attributes:
        proxy: of a proxy sample.
        questions: of a sample of questions, besides those of its turns.
        turn: of a question with its answer.
    """

    proxy: int
    questions: int
    turn: int


@dataclass(frozen=True)
class ModelSizes:
    """Everything that memory and time depend on.

    Attributes:
        parameters: how many each part has.
        adapters: how many an adapter of rank 1 on each linear layer of a part has.
        tables: fixed values that the checkpoint holds beside them.
        autoencoder, autoencoder_width: parameters of the VAE, and channels of its first level.
        block: parameters of the largest layer, both experts.
        decoder, encoder: the language model and the vision encoder; a stack of zeros if there is none.
        vocabulary: tokens of the text head.
        patch, latent: image pixels per token and side, of input and of target images.
        per_input: parameters of the vision part that each token of an input image takes, times the patches that do.
        per_target, per_condition: parameters that each token of a target passes, and each token of the instruction and
            image that it is made from beside those that any text passes.
        encoding: operations of the VAE's encoder per pixel.
        template: tokens around texts and images.
    """

    parameters: dict[Part, int]
    adapters: dict[Part, int]
    tables: int
    autoencoder: int
    autoencoder_width: int
    block: int
    decoder: Stack
    encoder: Stack
    vocabulary: int
    patch: int
    latent: int
    per_input: int
    per_target: int
    per_condition: int
    encoding: float
    template: Template

    @property
    def total(self) -> int:
        """Values in the network."""
        return sum(self.parameters.values()) + self.tables


@dataclass(frozen=True)
class Tokens:
    """Tokens that pass through a model.

    Attributes:
        text, input_image, target_image: tokens of text and markers, of input images, of target images.
        supervised: text tokens with a loss.
        pairs: of a token and one it attends to, in the decoder.
        vision_pairs: the same in the vision encoder.
        condition: of the tokens of text and input images, those that a target is made from.
    """

    text: int
    input_image: int
    target_image: int
    supervised: int
    pairs: int
    vision_pairs: int
    condition: int = 0

    @property
    def all(self) -> int:
        """Tokens of the decoder."""
        return self.text + self.input_image + self.target_image


def forward_flops(sizes: ModelSizes, tokens: Tokens) -> int:
    """Floating-point operations of one forward pass.

    Two per parameter that a token passes and per number of a key or value that a query attends to: each token passes
    one expert (what a target is made from passes OmniGen2's diffusion transformer too), image patches the vision
    encoder too, and supervised text the head. A backward pass takes twice as many.
    """
    parameters = (
        sizes.parameters["understanding"] * (tokens.text + tokens.input_image)
        + sizes.per_target * tokens.target_image
        + sizes.per_condition * tokens.condition
        + sizes.per_input * tokens.input_image
        + sizes.decoder.width * sizes.vocabulary * tokens.supervised
    )
    attention = (
        sizes.decoder.layers * sizes.decoder.queries * tokens.pairs
        + sizes.encoder.layers * sizes.encoder.queries * tokens.vision_pairs
    )
    return 2 * parameters + 4 * attention


def encoding_flops(vae: VAE) -> float:
    """Operations of a VAE's encoder per pixel of a small image; the VAE may be without weights."""
    side = vae.config.downsample * 8
    with FlopCounterMode(display=False) as counter:
        vae.encoder(torch.empty(1, vae.config.in_channels, side, side, device="meta"))
    return counter.get_total_flops() / side**2


def count_parts(network: nn.Module, part: Callable[[str], Part]) -> tuple[dict[Part, int], dict[Part, int], int]:
    """Parameters by part, those of adapters of rank 1 by part, and fixed values; the network may be without weights."""
    parameters: dict[Part, int] = {}
    adapters: dict[Part, int] = {}
    tables = 0
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            parameters[part(name)] = parameters.get(part(name), 0) + parameter.numel()
        else:
            tables += parameter.numel()
    for name, layer in network.named_modules():
        if type(layer) is nn.Linear:
            of = part(f"{name}.weight")
            adapters[of] = adapters.get(of, 0) + layer.in_features + layer.out_features
    return parameters, adapters, tables
