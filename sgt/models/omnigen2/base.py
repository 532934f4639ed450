"""What an OmniGen2 consists of."""

from collections.abc import Sequence
from copy import copy
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from sgt.errors import SgtError
from sgt.models.interface import LoadedModel
from sgt.models.omnigen2.chats import ChatBuilder
from sgt.models.omnigen2.images import QwenTransform, ReferenceTransform, read_normalisation
from sgt.models.omnigen2.network import OmniGen2Network
from sgt.models.vae import VAE


class OmniGen2Base(LoadedModel):
    """Network, VAE, tokenizer and image transforms.

    Attributes:
        folder: of the checkpoint.
        vit_transform: of input images, for the vision tower.
        vae_transform: of target and reference images.
        chats: makes chats of examples and requests.
    """

    network: OmniGen2Network

    def __init__(
        self,
        network: OmniGen2Network,
        vae: VAE,
        tokenizer: Tokenizer,
        folder: Path,
        vit_image: Sequence[int],
        vae_image: Sequence[int],
    ) -> None:
        self.network, self.vae, self.tokenizer, self.folder = network, vae, tokenizer, folder
        vision = network.config.language.vision_config
        if vit_image[2] != vision.patch_size * vision.spatial_merge_size:
            tokens = f"{vision.patch_size * vision.spatial_merge_size} pixels per token"
            raise SgtError("vit_image", f"stride {vit_image[2]}, the vision tower has {tokens}", "make them equal")
        self.vit_transform = QwenTransform(
            vit_image[0],
            vit_image[1],
            vision.patch_size,
            vision.spatial_merge_size,
            vision.temporal_patch_size,
            *read_normalisation(folder / "processor"),
        )
        self.vae_transform = ReferenceTransform(*vae_image)
        self.chats = ChatBuilder(tokenizer, network.config.mllm["max_position_embeddings"], self.vit_transform)
        self._outlines = copy(self.chats)
        self._outlines.see = self.vit_transform.outline

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
