"""The items that a packed sequence is made of, and the sequence (``bagel.md`` 4)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sgt.models.tensors import moved


@dataclass(frozen=True)
class TextIds:
    """Token ids (without markers); with ``loss`` they and the end marker are supervised."""

    ids: Sequence[int]
    loss: bool = False


@dataclass(frozen=True)
class Aside:
    """Texts that follow one another and that nothing after them attends to, such as one of several questions."""

    texts: Sequence[TextIds]


@dataclass(frozen=True)
class VitImage:
    """An image to understand: fp32 (3, H, W) in [-1, 1], sides multiples of the patch size."""

    pixels: Tensor


@dataclass(frozen=True)
class VaeImage:
    """An image in latent space: fp32 (3, H, W) in [-1, 1]; with ``loss`` it is a target, else a clean condition."""

    pixels: Tensor
    loss: bool = True


Item = TextIds | Aside | VitImage | VaeImage


@dataclass(frozen=True)
class SpecialTokens:
    """Ids of the four markers."""

    bos: int
    eos: int
    start_of_image: int
    end_of_image: int


@dataclass(frozen=True)
class PackedBatch:
    """One packed sequence of S samples and N tokens, under the official field names.

    Attributes:
        sample_lens: tokens per sample (S).
        split_lens, attn_modes: length and mode (causal, full, noise, aside) of each split, over all samples.
        packed_text_ids, packed_text_indexes: int64, text and markers, and where they stand in the sequence.
        packed_position_ids: int64 (N,), rotary positions.
        padded_images: fp32 (images, 3, H, W), every latent-space image, padded right and below with zeros.
        patchified_vae_latent_shapes: (h, w) in tokens per such image.
        packed_latent_position_ids, packed_vae_token_indexes: int64 (latent tokens,).
        packed_timesteps: fp32 (latent tokens,), the normal u of each; −inf for a clean image.
        packed_vit_tokens: fp32 (patches, channels·patch²).
        packed_vit_position_ids, packed_vit_token_indexes: int64 (patches,).
        vit_token_seqlens: patches per image.
        packed_label_ids, ce_loss_indexes: int64 (text tokens with a loss,).
        ce_loss_weights: fp32, 1/√(tokens of that answer); ones where every token counts alike.
        mse_loss_indexes: int64 (latent tokens with a loss,).
        vae_sample_noise: fp32 (images, z, H/f, W/f), the draw of the VAE's posterior.
        flow_noise: fp32 (latent tokens, numbers per token), the noise end of the flow.
    """

    sample_lens: list[int]
    split_lens: list[int]
    attn_modes: list[str]
    packed_text_ids: Tensor
    packed_text_indexes: Tensor
    packed_position_ids: Tensor
    padded_images: Tensor
    patchified_vae_latent_shapes: list[tuple[int, int]]
    packed_latent_position_ids: Tensor
    packed_vae_token_indexes: Tensor
    packed_timesteps: Tensor
    packed_vit_tokens: Tensor
    packed_vit_position_ids: Tensor
    packed_vit_token_indexes: Tensor
    vit_token_seqlens: list[int]
    packed_label_ids: Tensor
    ce_loss_indexes: Tensor
    ce_loss_weights: Tensor
    mse_loss_indexes: Tensor
    vae_sample_noise: Tensor
    flow_noise: Tensor

    @property
    def tokens(self) -> int:
        """Tokens in all."""
        return sum(self.sample_lens)

    @property
    def ce_tokens(self) -> float:
        """Text tokens with a loss, each counted by its weight."""
        return float(self.ce_loss_weights.sum())

    @property
    def mse_tokens(self) -> int:
        """Latent tokens with a loss."""
        return len(self.mse_loss_indexes)

    def to(self, device: torch.device | str) -> "PackedBatch":
        """The batch with every tensor on ``device``."""
        return moved(self, device)
