"""The family's entry."""

from dataclasses import replace

import torch
from sgt.models.transfusion.model import Transfusion, empty_networks, read_config, save, transform_of
from sgt.models.transfusion.network import TransfusionNetwork, part_of
from sgt.models.transfusion.packing import SPECIAL
from sgt.models.transfusion.rules import config_of

from sgt.models.family import Family
from sgt.models.sizes import ModelSizes, Stack, Template, count_parts, encoding_flops
from sgt.models.weights import weight_files


def create(architecture, tokenizer, vae, images, folder, seed) -> None:
    config = replace(config_of(architecture, tokenizer.get_vocab_size()), vae=vae.config)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = TransfusionNetwork(config)
    save(folder, config, network.state_dict(), vae, tokenizer)


def tensors(architecture) -> dict:
    network, vae = empty_networks(config_of(architecture))
    return {"model": (network.state_dict(), torch.bfloat16), "vae": (vae.state_dict(), torch.float32)}


def sizes(architecture, vocabulary=None) -> ModelSizes:
    config = config_of(architecture, vocabulary)
    network, vae = empty_networks(config)
    parameters, adapters, tables = count_parts(network, part_of)
    width = config.width
    return ModelSizes(
        parameters=parameters,
        adapters=adapters,
        tables=tables,
        autoencoder=sum(p.numel() for p in vae.parameters()),
        autoencoder_width=config.vae.ch,
        block=sum(p.numel() for p in network.layers[0].parameters()),
        decoder=Stack(config.layers, width, width, width, 4 * width, matrices=2),
        encoder=Stack(0, 0, 0, 0, 0, 0),
        vocabulary=config.vocab_size,
        patch=config.patch,
        latent=config.latent_stride,
        per_input=parameters["vision"],
        # Target images pass the one decoder, and layers of their own at both ends.
        per_target=parameters["understanding"] + parameters["generation"],
        per_condition=0,
        encoding=encoding_flops(vae),
        template=Template(proxy=6, questions=2, turn=4),
    )


FAMILY = Family(
    model=Transfusion,
    target_transform=lambda images: transform_of(images.target_image),
    special_tokens=SPECIAL,
    prompt_texts=(),
    tensors=tensors,
    stored_vae=lambda folder: (read_config(folder).vae, weight_files(folder, "vae")),
    create=create,
    sizes=sizes,
)
