"""The official tiny OmniGen2: its weights, inputs and outputs."""

import json
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file

from sgt.models.omnigen2.checkpoint import load_parts
from sgt.models.omnigen2.config import OmniGen2Config, TransformerConfig
from sgt.models.omnigen2.network import OmniGen2Network
from sgt.models.omnigen2.prompts import SpecialTokens
from sgt.models.vae import VAE, VAEConfig

FOLDER = Path(__file__).parents[2] / "oracles" / "omnigen2_tiny"
SPECIAL = SpecialTokens(pad=250, end=251, image=240)


@cache
def cases() -> dict:
    return json.loads((FOLDER / "cases.json").read_text())


@cache
def inputs() -> dict[str, torch.Tensor]:
    return load_file(FOLDER / "inputs.safetensors")


@cache
def expected() -> dict[str, torch.Tensor]:
    return load_file(FOLDER / "expected.safetensors")


@cache
def config() -> OmniGen2Config:
    told = json.loads((FOLDER / "config.json").read_text())
    sizes = {key: tuple(value) if isinstance(value, list) else value for key, value in told["transformer"].items()}
    vae = VAEConfig(ch=16, ch_mult=(1, 1, 2, 2), num_res_blocks=1, z_channels=4, norm_groups=8)
    return OmniGen2Config(TransformerConfig(**sizes), vae, told["mllm"])


def parts() -> tuple[OmniGen2Network, VAE]:
    """The oracle's weights, read as those of a checkpoint are."""
    files = {name: [FOLDER / f"{name}.safetensors"] for name in ("transformer", "mllm", "vae")}
    return load_parts(config(), files, torch.float32)


@cache
def network() -> OmniGen2Network:
    return parts()[0].requires_grad_(False)


@cache
def vae() -> VAE:
    return parts()[1]


def agree(got: torch.Tensor, want: torch.Tensor, what: str) -> None:
    """Element by element, 1e-4 absolute plus 1e-4 relative."""
    torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4, msg=lambda text: f"{what}: {text}")
