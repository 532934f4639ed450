"""The official file layout (``omnigen2.md`` 1): transformer, language model, VAE, scheduler and processor folders."""

import re
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from sgt.atomic import copy_folder, save_tensors, write_json
from sgt.errors import SgtError
from sgt.models.omnigen2.config import OmniGen2Config, config_of, read_config, write_config
from sgt.models.omnigen2.language import complete, current_name, empty_language_model, official_name
from sgt.models.omnigen2.network import OmniGen2Network
from sgt.models.omnigen2.transformer import OmniGen2Transformer
from sgt.models.tokenizer import write_tokenizer
from sgt.models.vae import VAE, VAEConfig
from sgt.models.weights import load_weights, weight_files, without_weights

# Folder of each network, and the name of its weight files.
WEIGHTS = {"transformer": "diffusion_pytorch_model", "mllm": "model", "vae": "diffusion_pytorch_model"}
# SGT-Gen2 brings these alone: folder of each network, below ``transformer/``.
OVERLAY = {"transformer": "transformer", "mllm": "text_encoder"}
COPIED = ("scheduler", "processor")
SCHEDULER = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "dynamic_time_shift": True}
INDEX = {
    "_class_name": "OmniGen2Pipeline",
    "mllm": ["transformers", "Qwen2_5_VLForConditionalGeneration"],
    "processor": ["transformers", "Qwen2_5_VLProcessor"],
    "scheduler": ["scheduling_flow_match_euler_discrete", "FlowMatchEulerDiscreteScheduler"],
    "transformer": ["transformer_omnigen2", "OmniGen2Transformer2DModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
# Parts of a VAE's parameter names, from FLUX's to diffusers'. Levels of the decoder are counted the other way round.
VAE_NAMES = (
    (r"down\.(\d+)\.block", r"down_blocks.\1.resnets"),
    (r"down\.(\d+)\.downsample", r"down_blocks.\1.downsamplers.0"),
    (r"up\.(\d+)\.block", r"up_blocks.\1.resnets"),
    (r"up\.(\d+)\.upsample", r"up_blocks.\1.upsamplers.0"),
    (r"mid\.block_1", "mid_block.resnets.0"),
    (r"mid\.block_2", "mid_block.resnets.1"),
    (r"mid\.attn_1\.norm", "mid_block.attentions.0.group_norm"),
    (r"mid\.attn_1\.([qkv])\b", r"mid_block.attentions.0.to_\1"),
    (r"mid\.attn_1\.proj_out", "mid_block.attentions.0.to_out.0"),
    (r"nin_shortcut", "conv_shortcut"),
    (r"coder\.norm_out", "coder.conv_norm_out"),
)


def diffusers_name(name: str, levels: int) -> str:
    """A VAE parameter's name in diffusers, from its original one."""
    name = re.sub(r"\bup\.(\d+)", lambda found: f"up.{levels - 1 - int(found[1])}", name)
    for pattern, replacement in VAE_NAMES:
        name = re.sub(pattern, replacement, name)
    return name


def empty_networks(config: OmniGen2Config) -> tuple[OmniGen2Network, VAE]:
    """Both networks without weights."""
    with without_weights():
        transformer, vae = OmniGen2Transformer(config.transformer), VAE(config.vae)
    return OmniGen2Network(config, transformer, empty_language_model(config.language)), vae


def empty_tensors(architecture: dict) -> dict[str, tuple[dict[str, Tensor], torch.dtype]]:
    """The tensors of an official folder without their numbers, and the dtype its files store them in, by folder."""
    network, vae = empty_networks(config_of(architecture))
    stored = _official_tensors(network, network.state_dict(), vae)
    return {part: (stored[part], torch.float32 if part == "vae" else torch.bfloat16) for part in WEIGHTS}


def load_networks(
    folder: Path, dtype: torch.dtype, device: torch.device | str = "cpu", overlay: Path | None = None
) -> tuple[OmniGen2Network, VAE]:
    """Both networks of a checkpoint, the VAE in fp32, frozen and in evaluation mode.

    Args:
        folder: the official layout.
        dtype: of the network's weights.
        device: of both.
        overlay: folder with ``transformer/transformer`` or ``transformer/text_encoder`` or both, whose weights
            replace those they hold (SGT-Gen2).

    Raises:
        SgtError: a file or tensor is missing, unexpected or misshapen.
    """
    config = read_config(folder)
    files = {part: weight_files(folder / part, name) for part, name in WEIGHTS.items()}
    over = _overlay_files(overlay) if overlay else {}
    return load_parts(config, files, dtype, device, over)


def load_parts(
    config: OmniGen2Config,
    files: dict[str, list[Path]],
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
    overlay: dict[str, list[Path]] | None = None,
) -> tuple[OmniGen2Network, VAE]:
    """See :func:`load_networks`; ``files`` and ``overlay`` are by part: ``transformer``, ``mllm``, ``vae``."""
    over = overlay or {}
    network, vae = empty_networks(config)
    mllm = network.mllm
    load_weights(network.transformer, files["transformer"], dtype, device, over.get("transformer", ()))
    tied = {"lm_head.weight"} if mllm.config.tie_word_embeddings else set()
    load_weights(mllm, files["mllm"], dtype, device, over.get("mllm", ()), rename=current_name, unread=tied)
    complete(mllm, device)
    original = {diffusers_name(name, len(config.vae.ch_mult)): name for name in vae.state_dict()}
    load_weights(vae, files["vae"], torch.float32, device, rename=lambda name: original.get(name, name))
    return network, vae.requires_grad_(False).eval()


def stored_vae(folder: Path) -> tuple[VAEConfig, list[Path]]:
    """The configuration and the weight files of a checkpoint's VAE."""
    return read_config(folder).vae, weight_files(folder / "vae", WEIGHTS["vae"])


def save_networks(
    folder: Path, network: OmniGen2Network, vae: VAE, weights: dict[str, Tensor], tokenizer: Tokenizer, files: Path
) -> None:
    """Write the official layout into an existing folder: ``weights`` in bf16, the VAE in fp32.

    Args:
        folder: an existing folder.
        network, vae: for their configuration; the VAE also for its weights.
        weights: by parameter name of the network.
        tokenizer: with the markers in it.
        files: folder to copy the scheduler's and the processor's other files from.
    """
    for part in (*WEIGHTS, *COPIED):
        (folder / part).mkdir(exist_ok=True)
        if part in COPIED and files != folder and (files / part).is_dir():
            copy_folder(files / part, folder / part)
    write_config(folder, network.config)
    for part, tensors in _official_tensors(network, weights, vae).items():
        dtype = torch.float32 if part == "vae" else torch.bfloat16
        stored = {name: value.detach().to("cpu", dtype).contiguous() for name, value in tensors.items()}
        save_tensors(folder / part / f"{WEIGHTS[part]}.safetensors", stored)
    if not (folder / "scheduler" / "scheduler_config.json").exists():
        write_json(folder / "scheduler" / "scheduler_config.json", SCHEDULER)
    write_json(folder / "model_index.json", INDEX)
    write_tokenizer(tokenizer, folder / "processor")


def _official_tensors(network: OmniGen2Network, weights: dict[str, Tensor], vae: VAE) -> dict[str, dict[str, Tensor]]:
    """Tensors under the names and in the shapes of the official files, by folder."""
    parts: dict[str, dict[str, Tensor]] = {"transformer": {}, "mllm": {}, "vae": {}}
    for name, value in weights.items():
        part, _, rest = name.partition(".")
        if part == "mllm" and not (rest == "lm_head.weight" and network.mllm.config.tie_word_embeddings):
            parts[part][official_name(rest)] = value
        elif part == "transformer":
            parts[part][rest] = value
    levels = len(vae.config.ch_mult)
    for name, value in vae.state_dict().items():
        # The attention's 1x1 convolutions are stored as matrices.
        flat = value[:, :, 0, 0] if ".attn_1." in name and value.dim() == 4 else value
        parts["vae"][diffusers_name(name, levels)] = flat
    return parts


def _overlay_files(overlay: Path) -> dict[str, list[Path]]:
    """Weight files of an overlay by part.

    Raises:
        SgtError: it holds none.
    """
    folders = {part: overlay / "transformer" / name for part, name in OVERLAY.items()}
    found = {part: weight_files(folder, WEIGHTS[part]) for part, folder in folders.items() if folder.is_dir()}
    if not found:
        raise SgtError(overlay, "has neither transformer/transformer nor transformer/text_encoder", "check the folder")
    return found
