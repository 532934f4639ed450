"""The parts of an OmniGen2: network, VAE, tokenizer, image transforms."""

from collections.abc import Sequence
from copy import copy
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from sgt.errors import SgtError
from sgt.models.interface import Request
from sgt.models.loaded import LoadedModel
from sgt.models.omnigen2.chats import ChatBuilder
from sgt.models.omnigen2.images import QwenTransform, ReferenceTransform, read_normalisation
from sgt.models.omnigen2.network import OmniGen2Network
from sgt.models.omnigen2.rules import OmniGen2Images
from sgt.models.vae import VAE


class OmniGen2Base(LoadedModel):
    """Network, VAE, tokenizer and image transforms.

    Attributes:
        folder: of the checkpoint.
        vit_transform: of input images, for the vision tower.
        vae_transform: of target and reference images.
        chats: builds chats of examples and requests.
    """

    network: OmniGen2Network

    def __init__(
        self,
        network: OmniGen2Network,
        vae: VAE,
        tokenizer: Tokenizer,
        folder: Path,
        images: OmniGen2Images,
    ) -> None:
        self.network, self.vae, self.tokenizer, self.folder = network, vae, tokenizer, folder
        vision = network.mllm.model.visual.config
        bounds, token = images.input_image, vision.patch_size * vision.spatial_merge_size
        if bounds.image_stride != token:
            problem = f"{bounds.image_stride}, a token of the vision tower has {token} pixels"
            raise SgtError("input_image.image_stride", problem, "make them equal")
        self.vit_transform = QwenTransform(
            bounds.max_pixels,
            bounds.min_pixels,
            vision.patch_size,
            vision.spatial_merge_size,
            vision.temporal_patch_size,
            *read_normalisation(folder / "processor"),
        )
        self.vae_transform = target_transform(images)
        self.chats = ChatBuilder(tokenizer, network.config.mllm["max_position_embeddings"], self.vit_transform)
        self._outlines = copy(self.chats)
        self._outlines.prepare = self.vit_transform.outline

    def _latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        factor = self.vae.config.downsample
        return self.vae.config.z_channels, height // factor, width // factor

    @torch.no_grad()
    def _encode(self, images: Sequence[Tensor], draws: Sequence[Tensor]) -> list[Tensor]:
        """Scaled latents of images (3, H, W), those of one size as one batch."""
        latents: list[Tensor] = [torch.empty(0)] * len(images)
        for size in dict.fromkeys(image.shape for image in images):
            alike = [place for place, image in enumerate(images) if image.shape == size]
            stacked = (torch.stack([of[place] for place in alike]) for of in (images, draws))
            for place, latent in zip(alike, self.vae.encode(*stacked), strict=True):
                latents[place] = latent
        return latents


def target_transform(images: OmniGen2Images) -> ReferenceTransform:
    """The transform of target and reference images, from a model file's bounds."""
    bounds = images.target_image
    return ReferenceTransform(bounds.max_pixels, bounds.max_side_length, bounds.image_stride)


def refuse_system_text(request: Request) -> None:
    """See that a request for an image has no system text.

    Raises:
        SgtError: it has one.
    """
    if request.system:
        raise SgtError("generated image", "OmniGen2 does not think before it draws", "remove the system text")
