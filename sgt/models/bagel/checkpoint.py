"""The official file layout (``bagel.md`` 1): weights, VAE, configuration and tokenizer in one folder."""

import shutil
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from sgt.models.bagel.config import BagelConfig, read_config, write_config
from sgt.models.bagel.network import BagelNetwork
from sgt.models.bagel.packing import SpecialTokens
from sgt.models.tokenizer import special_id
from sgt.models.vae import VAE
from sgt.models.weights import load_weights, weight_files

SPECIAL = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>")
TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json")


def special_tokens(tokenizer: Tokenizer, folder: Path) -> SpecialTokens:
    """The four markers, looked up by name."""
    return SpecialTokens(*(special_id(tokenizer, token, folder) for token in SPECIAL))


def load_networks(folder: Path, dtype: torch.dtype) -> tuple[BagelNetwork, VAE]:
    """Both networks of a checkpoint, the VAE in fp32, frozen and in evaluation mode.

    Raises:
        SgtError: a file or tensor is missing, unexpected or misshapen.
    """
    files = weight_files(folder, "ema")
    config = _true_sizes(read_config(folder), files)
    with torch.device("meta"):
        network, vae = BagelNetwork(config), VAE(config.vae)
    load_weights(network, files, dtype)
    network.latent_pos_embed.fill()
    network.vit_pos_embed.fill()
    load_weights(vae, weight_files(folder, "ae"), torch.float32)
    return network, vae.requires_grad_(False).eval()


def save_networks(folder: Path, network: BagelNetwork, vae: VAE, weights: dict[str, Tensor], tokenizer: Path) -> None:
    """Write the official layout into an existing folder: ``weights`` in bf16, the VAE in fp32.

    Args:
        folder: an existing folder.
        network, vae: for their configuration; the VAE also for its weights.
        weights: by parameter name, what ``ema.safetensors`` shall hold.
        tokenizer: folder to copy the tokenizer files from.
    """
    write_config(folder, network.config)
    half = {name: value.detach().to("cpu", torch.bfloat16).contiguous() for name, value in weights.items()}
    save_file(half, folder / "ema.safetensors")
    save_file({name: value.contiguous() for name, value in vae.state_dict().items()}, folder / "ae.safetensors")
    for name in TOKENIZER_FILES:
        if (tokenizer / name).is_file() and tokenizer != folder:
            shutil.copyfile(tokenizer / name, folder / name)


def _true_sizes(config: BagelConfig, files: list[Path]) -> BagelConfig:
    """Correct ``max_latent_size`` by the rows of the position table: released configs carry a stale one."""
    for path in files:
        with safe_open(path, framework="pt") as file:
            if "latent_pos_embed.pos_embed" in file.keys():  # noqa: SIM118 (safe_open is not a mapping)
                rows = file.get_slice("latent_pos_embed.pos_embed").get_shape()[0]
                return replace(config, max_latent_size=round(rows**0.5))
    return config
