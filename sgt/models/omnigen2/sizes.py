"""The sizes of an OmniGen2, and which part each of its parameters belongs to."""

from dataclasses import replace

from torch import nn

from sgt.config.recipe import Part
from sgt.models.omnigen2.checkpoint import empty_networks
from sgt.models.omnigen2.config import config_of
from sgt.models.sizes import ModelSizes, Stack, Template, count_parts, encoding_flops


def part_of(name: str) -> Part:
    """The part of a parameter.

    ``generation`` is the diffusion transformer, ``understanding`` the layers of the language model, ``vision`` its
    vision tower, ``vocabulary`` its embedding and head.
    """
    if name.startswith("transformer."):
        return "generation"
    if name.startswith("mllm.model.visual."):
        return "vision"
    return "vocabulary" if "embed_tokens" in name or "lm_head" in name else "understanding"


def omnigen2_sizes(architecture: dict, vocabulary: int | None = None) -> ModelSizes:
    """The sizes of the model that ``architecture`` of ``config/models`` describes.

    The decoder is the language model. The arithmetic leaves out attention in the diffusion transformer between targets
    and what they are made from, and that attention in the vision tower is between patches, finer than image tokens.

    Args:
        architecture: its fields.
        vocabulary: of the tokenizer, if it decides.

    Raises:
        SgtError: it has an unknown field.
    """
    config = config_of(architecture)
    if vocabulary:
        config = replace(config, mllm={**config.mllm, "vocab_size": vocabulary})
    network, vae = empty_networks(config)
    parameters, adapters, tables = count_parts(network, part_of)
    language, vision = config.mllm, config.mllm["vision_config"]
    head = language["hidden_size"] // language["num_attention_heads"]
    return ModelSizes(
        parameters=parameters,
        adapters=adapters,
        tables=tables,
        autoencoder=sum(p.numel() for p in vae.parameters()),
        autoencoder_width=config.vae.ch,
        block=sum(p.numel() for p in network.transformer.layers[0].parameters()),
        decoder=Stack(
            layers=language["num_hidden_layers"],
            width=language["hidden_size"],
            queries=language["hidden_size"],
            keys=language["num_key_value_heads"] * head,
            hidden=language["intermediate_size"],
            matrices=3,
        ),
        encoder=Stack(
            layers=vision["depth"],
            width=vision["hidden_size"],
            queries=vision["hidden_size"],
            keys=vision["hidden_size"],
            hidden=vision["intermediate_size"],
            matrices=3,
        ),
        vocabulary=language["vocab_size"],
        patch=vision["patch_size"] * vision["spatial_merge_size"],
        latent=config.latent_stride,
        per_input=_vision_per_token(network.mllm.model.visual, vision["spatial_merge_size"]),
        per_target=_passed(network.transformer, ("x_embedder", "noise_refiner", "layers", "norm_out")),
        per_condition=_passed(network.transformer, ("time_caption_embed", "context_refiner", "layers")),
        encoding=encoding_flops(vae),
        # The chat's system turn and the marks around the user's turn, an image, and an answer.
        template=Template(proxy=30, questions=18, turn=6),
    )


def _passed(transformer: nn.Module, modules: tuple[str, ...]) -> int:
    """Parameters of some modules that every token passes; those that read the time alone work once per image."""
    of_time = ("norm1.linear", "norm_out.linear_1", "timestep_embedder")
    return sum(
        parameter.numel()
        for name, parameter in transformer.named_parameters()
        if name.split(".")[0] in modules and not any(part in name for part in of_time)
    )


def _vision_per_token(vision: nn.Module, merge_size: int) -> int:
    """Parameters that an image token takes: of the tower once for each of its patches, of the merger once.

    Args:
        vision: the vision encoder.
        merge_size: patches per side that are merged into one token.
    """
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in vision.named_children()}
    merged = counts.pop("merger")
    return merge_size**2 * sum(counts.values()) + merged
