"""The official tiny BAGEL: its weights, inputs and outputs."""

import json
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file

from sgt.models.bagel.config import BagelConfig, LLMConfig, ViTConfig
from sgt.models.bagel.items import Item, PackedBatch, SpecialTokens, TextIds, VaeImage, VitImage
from sgt.models.bagel.network import BagelNetwork
from sgt.models.bagel.packing import Packer
from sgt.models.vae import VAE, VAEConfig

FOLDER = Path(__file__).parents[2] / "oracles" / "bagel_tiny"
SPECIAL = SpecialTokens(bos=251, eos=252, start_of_image=253, end_of_image=254)
CONFIG = BagelConfig(
    llm=LLMConfig(256, 64, 112, 3, 4, 2),
    vit=ViTConfig(48, 80, 2, 4, image_size=112),
    vae=VAEConfig(ch=32, ch_mult=(1, 2, 2, 2), num_res_blocks=1, z_channels=4),
    max_latent_size=8,
    vit_max_num_patch_per_side=8,
)


@cache
def cases() -> dict:
    return json.loads((FOLDER / "cases.json").read_text())


@cache
def inputs() -> dict[str, torch.Tensor]:
    return load_file(FOLDER / "inputs.safetensors")


@cache
def expected() -> dict[str, torch.Tensor]:
    return load_file(FOLDER / "expected.safetensors")


def network() -> BagelNetwork:
    """The oracle's weights; the position tables are computed, as a checkpoint's are."""
    model = BagelNetwork(CONFIG)
    model.load_state_dict(load_file(FOLDER / "model.safetensors"))
    model.latent_pos_embed.fill()
    model.vit_pos_embed.fill()
    return model


@cache
def vae() -> VAE:
    model = VAE(CONFIG.vae)
    model.load_state_dict(load_file(FOLDER / "ae.safetensors"))
    return model.requires_grad_(False)


def samples(case: str) -> list[list[Item]]:
    """The raw samples of a case."""
    found = []
    for index, plan in enumerate(cases()[case]["plan"]):
        texts = (inputs()[f"{case}.samples.{index}.text.{j}"].tolist() for j in range(100))
        images = (inputs()[f"{case}.samples.{index}.image.{j}"] for j in range(100))
        items = []
        for item in plan:
            match item["type"]:
                case "text":
                    items.append(TextIds(next(texts), bool(item["loss"])))
                case "vit_image":
                    items.append(VitImage(next(images)))
                case "vae_image":
                    items.append(VaeImage(next(images), bool(item["loss"])))
        found.append(items)
    return found


def pack(case: str, vae_noise: str, flow_noise: str) -> PackedBatch:
    """Pack the raw samples of a case with its random draws."""
    packer = Packer(CONFIG, SPECIAL)
    for items, dropped in zip(samples(case), cases()[case]["dropped"], strict=True):
        packer.add(items, dropped)
    return packer.batch(cases()[case]["flow_normals"], inputs()[vae_noise], inputs()[flow_noise])


def agree(got: torch.Tensor, want: torch.Tensor, what: str) -> None:
    """Element by element, 1e-4 absolute plus 1e-4 relative."""
    torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4, msg=lambda text: f"{what}: {text}")
