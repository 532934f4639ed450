"""The sizes of a BAGEL, and which part each of its parameters belongs to."""

from sgt.config.recipe import Part
from sgt.models.bagel.checkpoint import empty_networks
from sgt.models.bagel.config import config_of
from sgt.models.sizes import ModelSizes, Stack, Template, count_parts, encoding_flops


def part_of(name: str) -> Part:
    """The part of a parameter, by its official name."""
    owner = name.split(".")[0]
    if owner in ("vit_model", "connector", "vit_pos_embed"):
        return "vision"
    if "_moe_gen" in name or owner != "language_model":
        return "generation"
    return "vocabulary" if "embed_tokens" in name or "lm_head" in name else "understanding"


def bagel_sizes(architecture: dict, vocabulary: int | None = None) -> ModelSizes:
    """The sizes of the model that ``architecture`` of ``config/models`` describes.

    Args:
        architecture: its fields.
        vocabulary: of the tokenizer, if it decides.

    Raises:
        SgtError: it has an unknown field.
    """
    config = config_of(architecture, vocabulary)
    network, vae = empty_networks(config)
    llm, vit = config.llm, config.vit
    parameters, adapters, tables = count_parts(network, part_of)
    heads = llm.head_dim
    return ModelSizes(
        parameters=parameters,
        adapters=adapters,
        tables=tables,
        autoencoder=sum(p.numel() for p in vae.parameters()),
        autoencoder_width=config.vae.ch,
        block=sum(p.numel() for p in network.language_model.model.layers[0].parameters()),
        decoder=Stack(
            layers=llm.num_hidden_layers,
            width=llm.hidden_size,
            queries=llm.num_attention_heads * heads,
            keys=llm.num_key_value_heads * heads,
            hidden=llm.intermediate_size,
            matrices=3,
        ),
        encoder=Stack(
            layers=vit.num_hidden_layers,
            width=vit.hidden_size,
            queries=vit.hidden_size,
            keys=vit.hidden_size,
            hidden=vit.intermediate_size,
            matrices=2,
        ),
        vocabulary=llm.vocab_size,
        patch=vit.patch_size,
        latent=config.latent_stride,
        per_input=parameters["vision"],
        per_target=parameters["generation"],
        per_condition=0,
        encoding=encoding_flops(vae),
        # Markers of the beginning and end of each image, text, question and answer.
        template=Template(proxy=6, questions=2, turn=4),
    )
