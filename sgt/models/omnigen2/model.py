"""OmniGen2 behind the common interface."""

from pathlib import Path

import torch
from torch import Tensor

from sgt.models.lora import merge_lora
from sgt.models.omnigen2.capture import OmniGen2Capture
from sgt.models.omnigen2.checkpoint import empty_networks, load_networks, save_networks
from sgt.models.omnigen2.config import read_config
from sgt.models.omnigen2.inference import OmniGen2Inference
from sgt.models.omnigen2.network import Batch
from sgt.models.omnigen2.prompts import SPECIAL
from sgt.models.omnigen2.rules import OmniGen2Images
from sgt.models.omnigen2.training import OmniGen2Training
from sgt.models.tokenizer import load_tokenizer, token_id, with_special
from sgt.models.unified import UnifiedModel


class OmniGen2(OmniGen2Training, OmniGen2Inference, OmniGen2Capture, UnifiedModel[Batch]):
    """An OmniGen2 of any size: network, VAE, tokenizer and image transforms.

    Images are shown to the language model as SGT-Gen2 does, whose states of all tokens condition the diffusion
    transformer. An image to edit is a reference latent, which the language model does not see.
    """

    @classmethod
    def from_checkpoint(
        cls,
        folder: Path,
        images: OmniGen2Images,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        overlay: Path | None = None,
    ) -> "OmniGen2":
        """See :meth:`UnifiedModel.from_checkpoint`."""
        folder = Path(folder)
        network, vae = load_networks(folder, dtype, device, overlay)
        tokenizer = with_special(load_tokenizer(folder / "processor"), SPECIAL)
        network.grow_vocabulary(max(token_id(tokenizer, token) for token in SPECIAL) + 1)
        return cls(network, vae, tokenizer, folder, images)

    @classmethod
    def without_weights(cls, folder: Path, images: OmniGen2Images) -> "OmniGen2":
        """See :meth:`UnifiedModel.without_weights`."""
        tokenizer = with_special(load_tokenizer(folder / "processor"), SPECIAL)
        return cls(*empty_networks(read_config(folder)), tokenizer, folder, images)

    def save_checkpoint(self, folder: Path, weights: dict[str, Tensor] | None = None) -> None:
        """See :meth:`UnifiedModel.save_checkpoint`."""
        merged = merge_lora(self.network, {**self.network.state_dict(), **(weights or {})})
        save_networks(folder, self.network, self.vae, merged, self.tokenizer, self.folder)
