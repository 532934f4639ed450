"""BAGEL networks of any size with random weights, and packs of random samples."""

from pathlib import Path

import torch
from torch import Tensor, nn

from sgt.config.files import read_yaml
from sgt.config.models import Model
from sgt.models.attention import split_mask
from sgt.models.bagel.config import BagelConfig, config_of
from sgt.models.bagel.items import Item, PackedBatch, SpecialTokens, TextIds, VaeImage, VitImage
from sgt.models.bagel.network import BagelNetwork
from sgt.models.bagel.packing import Packer
from sgt.models.sizes import Tokens
from sgt.models.tokenizer import VOCABULARY
from sgt.models.vae import VAE

SPECIAL = SpecialTokens(bos=1, eos=2, start_of_image=3, end_of_image=4)
INSTRUCTION, QUESTION, ANSWER, TURNS = 40, 20, 10, 4
STD = 0.02


def spec_of(name: str) -> Model:
    """A model of ``config/models``."""
    return read_yaml(Path(__file__).parents[1] / f"config/models/{name}.yaml", Model)


def architecture_of(spec: Model) -> dict:
    """The sizes of a model; one that is pretrained here has a small vocabulary."""
    small = {"vocab_size": VOCABULARY} if spec.pretrain else {}
    return {**spec.architecture, "llm": small | spec.architecture.get("llm", {})}


def random_networks(spec: Model, dtype: torch.dtype, device: torch.device, seed: int = 0) -> tuple[BagelNetwork, VAE]:
    """Network and VAE with normally distributed weights, created on the device."""
    config = config_of(architecture_of(spec))
    with torch.device("meta"):
        network, vae = BagelNetwork(config).to(dtype), VAE(config.vae)
    for module in (network, vae):
        fill(module.to_empty(device=device), seed)
    network.latent_pos_embed.fill()
    network.vit_pos_embed.fill()
    return network, vae.requires_grad_(False).eval()


@torch.no_grad()
def fill(module: nn.Module, seed: int) -> None:
    """Normally distributed weights, drawn on their device; norms as they are initialised. None on the meta device."""
    device = next(module.parameters()).device
    if device.type == "meta":
        return
    generator = torch.Generator(device).manual_seed(seed)
    for name, parameter in module.named_parameters():
        if "norm" in name and parameter.ndim == 1:
            parameter.fill_(float(name.endswith("weight")))
        else:
            parameter.normal_(0, STD, generator=generator)


def random_samples(spec: Model, config: BagelConfig, tokens: int, seed: int = 0) -> list[list[Item]]:
    """Samples of at least ``tokens`` tokens: two proxy samples, one of questions, and so on."""
    draw = torch.Generator().manual_seed(seed)

    def ids(count: int) -> list[int]:
        return torch.randint(5, config.llm.vocab_size, (count,), generator=draw).tolist()

    def pixels(side: int) -> Tensor:
        return torch.rand(3, side, side, generator=draw) * 2 - 1

    samples, length = [], 0
    while length < tokens:
        items: list[Item] = [VitImage(pixels(spec.input_image["max_image_size"]))]
        length += (spec.input_image["max_image_size"] // config.vit.patch_size) ** 2 + 2
        if len(samples) % 3 < 2:
            items += [TextIds(ids(INSTRUCTION)), VaeImage(pixels(spec.target_image["max_image_size"]))]
            length += INSTRUCTION + 2 + (spec.target_image["max_image_size"] // config.latent_stride) ** 2 + 2
        else:
            items += [t for _ in range(TURNS) for t in (TextIds(ids(QUESTION)), TextIds(ids(ANSWER), loss=True))]
            length += TURNS * (QUESTION + ANSWER + 4)
        samples.append(items)
    return samples


def pack(config: BagelConfig, samples: list[list[Item]], seed: int = 0) -> PackedBatch:
    """The samples as one sequence, with its random draws."""
    packer, draw = Packer(config, SPECIAL), torch.Generator().manual_seed(seed)
    for items in samples:
        packer.add(items)
    vae_shape, flow_shape = packer.noise_shapes()
    normals = torch.randn(vae_shape[0], generator=draw).tolist()
    return packer.batch(normals, torch.randn(vae_shape, generator=draw), torch.randn(flow_shape, generator=draw))


def tokens_of(batch: PackedBatch) -> Tokens:
    """Counts of tokens and of attended pairs of a pack."""
    pairs, first = 0, 0
    for length in batch.sample_lens:
        last, inside = first, 0
        while inside < length:
            inside += batch.split_lens[last]
            last += 1
        pairs += int(split_mask([length], batch.split_lens[first:last], batch.attn_modes[first:last]).sum())
        first = last
    return Tokens(
        text=len(batch.packed_text_ids),
        input_image=len(batch.packed_vit_tokens),
        target_image=len(batch.packed_vae_token_indexes),
        supervised=len(batch.ce_loss_indexes),
        pairs=pairs,
        vision_pairs=sum(count**2 for count in batch.vit_token_seqlens),
    )
