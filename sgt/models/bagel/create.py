"""A new, untrained BAGEL in the official layout: what pretraining starts from."""

from dataclasses import replace
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import nn

from sgt.models.bagel.checkpoint import SPECIAL, save_networks
from sgt.models.bagel.config import config_of
from sgt.models.bagel.network import BagelNetwork
from sgt.models.bagel.rules import BagelImages
from sgt.models.tokenizer import save_tokenizer
from sgt.models.vae import VAE

EMBEDDING_STD = 0.5
POSITION_STD = 0.5


def create_checkpoint(
    architecture: dict, tokenizer: Tokenizer, vae: VAE, images: BagelImages, folder: Path, seed: int
) -> None:
    """Write an untrained model into an existing folder.

    Args:
        architecture: sizes as in ``config/models``; those of the VAE are its own.
        tokenizer, vae: trained.
        images: not written: BAGEL's files do not hold them.
        folder: where to.
        seed: of the initial weights.
    """
    sizes = config_of(architecture, tokenizer.get_vocab_size())
    config = replace(sizes, vae=vae.config)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = BagelNetwork(config)
        _initialise(network)
    save_tokenizer(tokenizer, folder, SPECIAL)
    save_networks(folder, network, vae, network.state_dict(), tokenizer, folder)


def _initialise(network: BagelNetwork) -> None:
    """Default linear layers, residual outputs scaled by depth, and position signals as strong as the embeddings.

    With weak position signals a small model never learns where things are, so the vision encoder's learned positions
    start as random directions of about the patches' strength.
    """
    config = network.config
    network.latent_pos_embed.fill()
    network.vit_pos_embed.fill()
    with torch.no_grad():
        nn.init.normal_(network.vit_model.vision_model.embeddings.position_embedding.weight, std=POSITION_STD)
        network.vit_model.vision_model.embeddings.patch_embedding.weight.mul_(2)
        network.connector.fc2.weight.mul_(4)
        nn.init.normal_(network.language_model.model.embed_tokens.weight, std=EMBEDDING_STD)
        nn.init.zeros_(network.llm2vae.weight)
        nn.init.zeros_(network.llm2vae.bias)
        for name, parameter in network.named_parameters():
            if name.endswith("bias") and "llm2vae" not in name:
                nn.init.zeros_(parameter)
            if ("o_proj" in name or "down_proj" in name) and name.startswith("language_model"):
                parameter.mul_((2 * config.llm.num_hidden_layers) ** -0.5)
