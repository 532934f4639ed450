"""The official file layout (``bagel.md`` 1): weights, VAE, configuration and tokenizer in one folder."""

from dataclasses import replace
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from sgt.atomic import copy_file, save_tensors
from sgt.models.bagel.config import BagelConfig, config_of, read_config, write_config
from sgt.models.bagel.items import SpecialTokens
from sgt.models.bagel.network import BagelNetwork
from sgt.models.tokenizer import token_id, write_tokenizer
from sgt.models.vae import VAE, VAEConfig
from sgt.models.weights import Stored, load_weights, stored_tensors, weight_files, without_weights

SPECIAL = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>")
# Fixed sin-cos tables: the official loader discards and recomputes them too.
POSITION_TABLES = ("latent_pos_embed.pos_embed", "vit_pos_embed.pos_embed")
TOKENIZER_FILES = ("vocab.json", "merges.txt", "tokenizer_config.json")


def special_tokens(tokenizer: Tokenizer) -> SpecialTokens:
    """The four markers, looked up by name.

    Raises:
        SgtError: the tokenizer lacks one.
    """
    return SpecialTokens(*(token_id(tokenizer, token) for token in SPECIAL))


def empty_networks(config: BagelConfig) -> tuple[BagelNetwork, VAE]:
    """Both networks without weights."""
    with without_weights():
        return BagelNetwork(config), VAE(config.vae)


def empty_tensors(architecture: dict) -> dict[str, tuple[dict[str, Tensor], torch.dtype]]:
    """The tensors of an official folder without their numbers, and the dtype its files store them in, by file name."""
    network, vae = empty_networks(config_of(architecture))
    return {"ema": (network.state_dict(), torch.bfloat16), "ae": (vae.state_dict(), torch.float32)}


def networks_without_weights(folder: Path) -> tuple[BagelNetwork, VAE]:
    """Both networks of a checkpoint without their weights.

    Raises:
        SgtError: a configuration file is missing or damaged, or the weights are not there.
    """
    return empty_networks(_true_sizes(read_config(folder), stored_tensors(weight_files(folder, "ema"))))


def load_networks(
    folder: Path, dtype: torch.dtype, device: torch.device | str = "cpu", overlay: Path | None = None
) -> tuple[BagelNetwork, VAE]:
    """Both networks of a checkpoint, the VAE in fp32, frozen and in evaluation mode.

    Args:
        folder: the official layout.
        dtype: of the network's weights.
        device: of both.
        overlay: folder whose ``ema.safetensors`` replaces the weights it holds (SGT-BAGEL brings nothing else).

    Raises:
        SgtError: a file or tensor is missing, unexpected or misshapen.
    """
    files = weight_files(folder, "ema")
    over = weight_files(overlay, "ema") if overlay else []
    network, vae = networks_without_weights(folder)
    load_weights(network, files, dtype, device, over, computed=POSITION_TABLES)
    network.latent_pos_embed.fill()
    network.vit_pos_embed.fill()
    load_weights(vae, weight_files(folder, "ae"), torch.float32, device)
    return network, vae.requires_grad_(False).eval()


def stored_vae(folder: Path) -> tuple[VAEConfig, list[Path]]:
    """The configuration and the weight files of a checkpoint's VAE."""
    return read_config(folder).vae, weight_files(folder, "ae")


def save_networks(
    folder: Path, network: BagelNetwork, vae: VAE, weights: dict[str, Tensor], tokenizer: Tokenizer, files: Path
) -> None:
    """Write the official layout into an existing folder: ``weights`` in bf16, the VAE in fp32.

    Args:
        folder: an existing folder.
        network, vae: for their configuration; the VAE also for its weights.
        weights: by parameter name, what ``ema.safetensors`` shall hold.
        tokenizer: with the markers in it.
        files: folder to copy the other tokenizer files from.
    """
    write_config(folder, network.config)
    half = {name: value.detach().to("cpu", torch.bfloat16).contiguous() for name, value in weights.items()}
    save_tensors(folder / "ema.safetensors", half)
    save_tensors(folder / "ae.safetensors", {name: value.contiguous() for name, value in vae.state_dict().items()})
    for name in TOKENIZER_FILES:
        if (files / name).is_file() and files != folder:
            copy_file(files / name, folder / name)
    write_tokenizer(tokenizer, folder)


def _true_sizes(config: BagelConfig, stored: dict[str, Stored]) -> BagelConfig:
    """Correct ``max_latent_size`` by the rows of the position table: released configs carry a stale one."""
    table = stored.get(POSITION_TABLES[0])
    return replace(config, max_latent_size=round(table.shape[0] ** 0.5)) if table else config
