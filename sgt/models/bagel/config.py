"""Sizes of a BAGEL, and their place in the official files.

``llm_config.json`` and ``vit_config.json`` are read as the official loader reads them: it drops the last layer of
the vision encoder, so ``vit_config.json`` counts one layer more than there are weights. ``config.json`` holds the
rest. The released copies of it may carry a stale ``max_latent_size``; the weights decide (see ``checkpoint.py``).
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sgt.atomic import write_json
from sgt.errors import SgtError
from sgt.models.configs import (
    VAEConfig,
    check_architecture,
    flat,
    pick,
    read_config_file,
    require_sizes,
    rotation,
)

VIT_SIZES = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "image_size",
    "patch_size",
)
LLM_SIZES = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "max_position_embeddings",
)


@dataclass(frozen=True)
class LLMConfig:
    """The two-expert language model (Qwen2.5 shapes). The defaults are BAGEL-7B's."""

    vocab_size: int = 152064
    hidden_size: int = 3584
    intermediate_size: int = 18944
    num_hidden_layers: int = 28
    num_attention_heads: int = 28
    num_key_value_heads: int = 4
    max_position_embeddings: int = 32768
    rms_norm_eps: float = 1e-6
    rope_theta: float = 1e6

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_attention_heads


@dataclass(frozen=True)
class ViTConfig:
    """The vision encoder (SigLIP so400m/14 shapes); ``num_hidden_layers`` counts the layers used."""

    hidden_size: int = 1152
    intermediate_size: int = 4304
    num_hidden_layers: int = 26
    num_attention_heads: int = 16
    num_channels: int = 3
    image_size: int = 980
    patch_size: int = 14
    layer_norm_eps: float = 1e-6

    @property
    def side(self) -> int:
        """Patches per side of the learned position table."""
        return self.image_size // self.patch_size


@dataclass(frozen=True)
class BagelConfig:
    """A whole model.

    Attributes:
        latent_patch_size: latent cells per token, per side.
        max_latent_size: side of the latent position table, in tokens.
        vit_max_num_patch_per_side: side of the connector's position table, in patches.
    """

    llm: LLMConfig = LLMConfig()
    vit: ViTConfig = ViTConfig()
    vae: VAEConfig = field(default_factory=VAEConfig)
    latent_patch_size: int = 2
    max_latent_size: int = 64
    vit_max_num_patch_per_side: int = 70

    @property
    def latent_dim(self) -> int:
        """Numbers per latent token."""
        return self.latent_patch_size**2 * self.vae.z_channels

    @property
    def latent_stride(self) -> int:
        """Image pixels per latent token, per side."""
        return self.latent_patch_size * self.vae.downsample


def config_of(architecture: dict[str, Any], vocab_size: int | None = None) -> BagelConfig:
    """Sizes as ``config/models`` gives them; what is absent is BAGEL-7B's.

    Args:
        architecture: ``llm``, ``vit`` and ``vae``, each with some fields of its class, and ``max_latent_size``.
        vocab_size: of the tokenizer, if it decides.

    Raises:
        SgtError: a field is unknown, or its value of another kind.
    """
    known = asdict(BagelConfig())
    check_architecture(architecture, {name: known[name] for name in ("llm", "vit", "vae", "max_latent_size")})
    llm = architecture.get("llm", {}) | ({"vocab_size": vocab_size} if vocab_size else {})
    vit = pick(ViTConfig, architecture.get("vit", {}))
    return BagelConfig(
        llm=pick(LLMConfig, llm),
        vit=vit,
        vae=pick(VAEConfig, architecture.get("vae", {})),
        max_latent_size=architecture.get("max_latent_size", BagelConfig.max_latent_size),
        vit_max_num_patch_per_side=vit.side,
    )


def read_config(folder: Path) -> BagelConfig:
    """Read the three configuration files of a checkpoint folder, as any version of transformers wrote them.

    Raises:
        SgtError: a file is missing or not JSON, lacks a size, or has rotary frequencies that are not BAGEL's.
    """
    llm_file, vit_file = folder / "llm_config.json", folder / "vit_config.json"
    llm = flat(llm_file, read_config_file(llm_file), "text_config")
    vit = flat(vit_file, read_config_file(vit_file), "vision_config")
    require_sizes(llm_file, llm, LLM_SIZES)
    require_sizes(vit_file, vit, VIT_SIZES)
    theta, scaling = rotation(llm_file, llm)
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind != "default":
        raise SgtError(llm_file, f"rope_type is {kind!r}, BAGEL's frequencies are not scaled", "use BAGEL's own file")
    rest = read_config_file(folder / "config.json")
    return BagelConfig(
        llm=pick(LLMConfig, llm | {"rope_theta": theta}),
        vit=pick(ViTConfig, vit | {"num_hidden_layers": vit["num_hidden_layers"] - 1}),
        vae=pick(VAEConfig, rest.get("vae_config", {})),
        **{
            name: rest[name]
            for name in ("latent_patch_size", "max_latent_size", "vit_max_num_patch_per_side")
            if name in rest
        },
    )


def write_config(folder: Path, config: BagelConfig) -> None:
    """Write the three files, in the form that :func:`read_config` and the official loader read."""
    write_json(folder / "llm_config.json", {"model_type": "qwen2", "tie_word_embeddings": False, **asdict(config.llm)})
    vit = asdict(config.vit)
    vit["num_hidden_layers"] += 1
    write_json(folder / "vit_config.json", {"model_type": "siglip_vision_model", **vit})
    rest = {
        "vae_config": {**asdict(config.vae), "downsample": config.vae.downsample},
        "vit_config": {"patch_size": config.vit.patch_size, "hidden_size": config.vit.hidden_size},
        "latent_patch_size": config.latent_patch_size,
        "max_latent_size": config.max_latent_size,
        "vit_max_num_patch_per_side": config.vit_max_num_patch_per_side,
        "connector_act": "gelu_pytorch_tanh",
        "interpolate_pos": False,
    }
    write_json(folder / "config.json", rest)
