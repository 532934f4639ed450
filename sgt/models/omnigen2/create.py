"""A new, untrained OmniGen2 in the official layout: what pretraining starts from."""

from dataclasses import replace
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import nn

from sgt.models.omnigen2.checkpoint import save_networks
from sgt.models.omnigen2.config import OmniGen2Config, config_of
from sgt.models.omnigen2.images import QwenTransform, write_processor
from sgt.models.omnigen2.language import complete, empty_language_model
from sgt.models.omnigen2.layers import TimedNorm
from sgt.models.omnigen2.network import OmniGen2Network
from sgt.models.omnigen2.prompts import SPECIAL
from sgt.models.omnigen2.rules import OmniGen2Images
from sgt.models.omnigen2.transformer import OmniGen2Transformer
from sgt.models.tokenizer import save_tokenizer
from sgt.models.vae import VAE

EMBEDDING_STD = 0.5
REFERENCE_STD = 0.02
OFFSET_STD = 2.0
PLACE_GAIN = 5.0
FIRST_LAYER = "model.language_model.layers.0."
# Gates are tanh of this at first: blocks take part from the start.
GATE = 1.0


def create_checkpoint(
    architecture: dict, tokenizer: Tokenizer, vae: VAE, images: OmniGen2Images, folder: Path, seed: int
) -> None:
    """Write an untrained model into an existing folder.

    Args:
        architecture: sizes as in ``config/models``; those of the VAE are its own.
        tokenizer, vae: trained.
        images: how images are scaled.
        folder: where to.
        seed: of the initial weights.
    """
    sizes = config_of(architecture)
    ids = {
        "vocab_size": tokenizer.get_vocab_size(),
        "image_token_id": tokenizer.token_to_id("<|image_pad|>"),
        "vision_start_token_id": tokenizer.token_to_id("<|vision_start|>"),
        "vision_end_token_id": tokenizer.token_to_id("<|vision_end|>"),
        "bos_token_id": tokenizer.token_to_id("<|endoftext|>"),
        "eos_token_id": tokenizer.token_to_id("<|im_end|>"),
        "video_token_id": tokenizer.get_vocab_size(),
    }
    mllm = {**sizes.mllm, **ids}
    config = replace(sizes, vae=vae.config, mllm=mllm)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = _initialised(config)
    vision = mllm["vision_config"]
    (folder / "processor").mkdir()
    write_processor(
        folder / "processor",
        QwenTransform(
            images.input_image.max_pixels,
            images.input_image.min_pixels,
            vision["patch_size"],
            vision["spatial_merge_size"],
            vision["temporal_patch_size"],
        ),
    )
    save_tokenizer(tokenizer, folder / "processor", SPECIAL)
    save_networks(folder, network, vae, network.state_dict(), tokenizer, folder)


def _initialised(config: OmniGen2Config) -> OmniGen2Network:
    """Default linear layers, residual outputs scaled by depth, embeddings and image tokens of equal strength.

    Positions act through rotations alone. So that they do from the start, queries and keys of the language model's
    first layer have a strong constant part: each of its heads prefers some offsets to others, whatever the tokens are,
    so that what an image token attends to among the tokens before it encodes its row and column for all later layers.
    """
    transformer = OmniGen2Transformer(config.transformer)
    mllm = empty_language_model(config.language).to_empty(device="cpu")
    complete(mllm, "cpu")
    with torch.no_grad():
        for module in mllm.modules():
            if isinstance(module, nn.Linear | nn.Conv3d):
                module.reset_parameters()
            elif hasattr(module, "variance_epsilon"):
                nn.init.ones_(module.get_parameter("weight"))
        nn.init.normal_(mllm.model.language_model.embed_tokens.weight, std=EMBEDDING_STD)
        mllm.model.visual.patch_embed.proj.weight.mul_(2)
        mllm.model.visual.merger.mlp[2].weight.mul_(2)
        nn.init.normal_(transformer.image_index_embedding, std=REFERENCE_STD)
        nn.init.zeros_(transformer.norm_out.linear_1.weight)
        nn.init.zeros_(transformer.norm_out.linear_2.weight)
        depth = 2 * mllm.model.language_model.config.num_hidden_layers
        for name, parameter in (*mllm.named_parameters(), *transformer.named_parameters()):
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            if name.startswith(FIRST_LAYER) and name.endswith(("q_proj.bias", "k_proj.bias")):
                nn.init.normal_(parameter, std=OFFSET_STD)
            if "language_model" in name and ("o_proj" in name or "down_proj" in name):
                parameter.mul_(depth**-0.5)
        mllm.model.language_model.layers[0].self_attn.o_proj.weight.mul_(PLACE_GAIN)
        for block in transformer.modules():
            if isinstance(block, TimedNorm):
                nn.init.zeros_(block.linear.weight)
                _, gate, _, inner_gate = block.linear.bias.chunk(4)
                gate.fill_(GATE)
                inner_gate.fill_(GATE)
    return OmniGen2Network(config, transformer, mllm)
