"""BAGEL behind the common interface."""

from pathlib import Path

import torch
from torch import Tensor

from sgt.models.bagel.capture import BagelCapture
from sgt.models.bagel.checkpoint import (
    SPECIAL,
    load_networks,
    networks_without_weights,
    save_networks,
)
from sgt.models.bagel.inference import BagelInference
from sgt.models.bagel.items import PackedBatch
from sgt.models.bagel.rules import BagelImages
from sgt.models.bagel.training import BagelTraining
from sgt.models.lora import merge_lora
from sgt.models.tokenizer import load_tokenizer, token_id, with_special
from sgt.models.unified import UnifiedModel


class Bagel(BagelTraining, BagelInference, BagelCapture, UnifiedModel[PackedBatch]):
    """A BAGEL of any size: network, VAE, tokenizer and image transforms."""

    @classmethod
    def from_checkpoint(
        cls,
        folder: Path,
        images: BagelImages,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        overlay: Path | None = None,
    ) -> "Bagel":
        """See :meth:`UnifiedModel.from_checkpoint`."""
        folder = Path(folder)
        network, vae = load_networks(folder, dtype, device, overlay)
        tokenizer = with_special(load_tokenizer(folder), SPECIAL)
        network.grow_vocabulary(max(token_id(tokenizer, token) for token in SPECIAL) + 1)
        return cls(network, vae, tokenizer, folder, images)

    @classmethod
    def without_weights(cls, folder: Path, images: BagelImages) -> "Bagel":
        """See :meth:`UnifiedModel.without_weights`."""
        tokenizer = with_special(load_tokenizer(folder), SPECIAL)
        return cls(*networks_without_weights(folder), tokenizer, folder, images)

    def save_checkpoint(self, folder: Path, weights: dict[str, Tensor] | None = None) -> None:
        """See :meth:`UnifiedModel.save_checkpoint`."""
        merged = merge_lora(self.network, {**self.network.state_dict(), **(weights or {})})
        save_networks(folder, self.network, self.vae, merged, self.tokenizer, self.folder)
