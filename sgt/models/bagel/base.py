"""The parts of a BAGEL: network, VAE, tokenizer, image transforms."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from tokenizers import Tokenizer
from torch import Tensor

from sgt.models.bagel.checkpoint import special_tokens
from sgt.models.bagel.network import BagelNetwork
from sgt.models.bagel.rules import BagelImages, SideBounds
from sgt.models.interface import Request
from sgt.models.loaded import LoadedModel
from sgt.models.tokenizer import without_special
from sgt.models.transforms import ImageTransform, to_tensor
from sgt.models.vae import VAE


class BagelBase(LoadedModel):
    """Network, VAE, tokenizer and image transforms.

    Attributes:
        special, plain_tokenizer: the ids of the markers; the tokenizer without them.
        folder: of the checkpoint.
        vit_transform: of input images, for the semantic encoder.
        vqa_transform: of input images of questions.
        vae_transform: of target images.
    """

    network: BagelNetwork

    def __init__(
        self,
        network: BagelNetwork,
        vae: VAE,
        tokenizer: Tokenizer,
        folder: Path,
        images: BagelImages,
    ) -> None:
        self.network, self.vae, self.tokenizer, self.folder = network, vae, tokenizer, folder
        self.special, self.plain_tokenizer = special_tokens(tokenizer), without_special(tokenizer)
        self.vit_transform, self.vae_transform = transform_of(images.input_image), transform_of(images.target_image)
        self.vqa_transform = transform_of(images.vqa_input_image or images.input_image)

    def encoded(self, image: Image.Image, draw: torch.Generator) -> Tensor:
        """The sampled latent (z, H, W) of one RGB image, scaled as a target image already."""
        pixels = to_tensor(image)[None].to(self.device)
        shape = (1, self.vae.config.z_channels, *(side // self.vae.config.downsample for side in pixels.shape[2:]))
        noise = torch.randn(shape, generator=draw)
        return self.vae.encode(pixels, noise.to(pixels.device))[0]

    def ids(self, text: str) -> list[int]:
        """Token ids of a text; a marker in it is characters like any other."""
        return self.plain_tokenizer.encode(text, add_special_tokens=False).ids


def transform_of(bounds: SideBounds) -> ImageTransform:
    """The transform of a model file's bounds."""
    return ImageTransform(bounds.max_image_size, bounds.min_image_size, bounds.image_stride)


def parts_of(request: Request) -> list[str | Image.Image]:
    """System text and content."""
    return [*([request.system] if request.system else []), *request.content]


def group_by_kinds(contents: Sequence[Sequence[str | Image.Image]]) -> list[list[int]]:
    """Indexes of contents, grouped by the kinds of their parts: rows of one context append the same kind at a time."""
    groups = defaultdict(list)
    for place, content in enumerate(contents):
        groups[tuple(isinstance(part, str) for part in content)].append(place)
    return list(groups.values())
