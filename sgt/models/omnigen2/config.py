"""Sizes of an OmniGen2, and their place in the official files (``omnigen2.md`` 1 and 2).

``transformer/config.json`` and ``vae/config.json`` are diffusers', ``mllm/config.json`` is that of Qwen2.5-VL. It is
read as any version of transformers writes it, and kept in the flat form of 4.51, which the released one has and every
version reads; one in that form is written back unchanged.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgt.atomic import write_json
from sgt.errors import SgtError
from sgt.models.configs import VAEConfig, check_architecture, pick, read_config_file
from sgt.models.omnigen2.language_config import language_config, read_language_config

if TYPE_CHECKING:
    from transformers import Qwen2_5_VLConfig

# Qwen2.5-VL-3B-Instruct.
MLLM: dict[str, Any] = {
    "architectures": ["Qwen2_5_VLForConditionalGeneration"],
    "model_type": "qwen2_5_vl",
    "vocab_size": 151936,
    "hidden_size": 2048,
    "intermediate_size": 11008,
    "num_hidden_layers": 36,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128000,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1e6,
    "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
    "tie_word_embeddings": True,
    "image_token_id": 151655,
    "video_token_id": 151656,
    "vision_start_token_id": 151652,
    "vision_end_token_id": 151653,
    "bos_token_id": 151643,
    "eos_token_id": 151645,
    "vision_config": {
        "model_type": "qwen2_5_vl",
        "depth": 32,
        "hidden_size": 1280,
        "intermediate_size": 3420,
        "num_heads": 16,
        "out_hidden_size": 2048,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "window_size": 112,
        "fullatt_block_indexes": [7, 15, 23, 31],
    },
}


@dataclass(frozen=True)
class TransformerConfig:
    """The diffusion transformer. The defaults are OmniGen2's.

    Attributes:
        patch_size: latent cells per token, per side.
        multiple_of: the feed-forward width is four times the width, rounded up to it.
        axes_dim_rope: numbers per head that each of the three axes rotates.
        axes_lens: positions that each axis has.
        text_feat_dim: width of the language model.
    """

    patch_size: int = 2
    in_channels: int = 16
    hidden_size: int = 2520
    num_layers: int = 32
    num_refiner_layers: int = 2
    num_attention_heads: int = 21
    num_kv_heads: int = 7
    multiple_of: int = 256
    norm_eps: float = 1e-5
    axes_dim_rope: tuple[int, int, int] = (40, 40, 40)
    axes_lens: tuple[int, int, int] = (10000, 10000, 10000)
    text_feat_dim: int = 2048
    timestep_scale: float = 1000.0

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def time_dim(self) -> int:
        """Width of the time vector."""
        return min(self.hidden_size, 1024)

    @property
    def feed_forward(self) -> int:
        """Width inside the feed-forward layers."""
        return -(-4 * self.hidden_size // self.multiple_of) * self.multiple_of

    @property
    def token_dim(self) -> int:
        """Numbers per latent token."""
        return self.patch_size**2 * self.in_channels


@dataclass(frozen=True)
class OmniGen2Config:
    """A whole model; ``mllm`` is the content of ``mllm/config.json`` (:mod:`sgt.models.omnigen2.language_config`)."""

    transformer: TransformerConfig = TransformerConfig()
    vae: VAEConfig = field(default_factory=VAEConfig)
    mllm: dict[str, Any] = field(default_factory=lambda: dict(MLLM))

    @property
    def latent_stride(self) -> int:
        """Image pixels per latent token, per side."""
        return self.transformer.patch_size * self.vae.downsample

    @property
    def language(self) -> "Qwen2_5_VLConfig":
        """The language model's configuration as transformers has it."""
        return language_config(self.mllm)


def config_of(architecture: dict[str, Any]) -> OmniGen2Config:
    """Sizes as ``config/models`` gives them; what is absent is OmniGen2's own.

    Args:
        architecture: ``transformer`` and ``vae``, each with some fields of its class, and ``mllm``, with some of those
            of Qwen2.5-VL-3B's ``config.json``.

    Raises:
        SgtError: a field is unknown, or its value of another kind.
    """
    check_architecture(architecture, asdict(OmniGen2Config()))
    given = architecture.get("mllm", {})
    mllm = {**MLLM, **given, "vision_config": {**MLLM["vision_config"], **given.get("vision_config", {})}}
    return OmniGen2Config(
        pick(TransformerConfig, architecture.get("transformer", {})), pick(VAEConfig, architecture.get("vae", {})), mllm
    )


def read_config(folder: Path) -> OmniGen2Config:
    """Read the three configuration files of a checkpoint folder.

    Raises:
        SgtError: a file is missing, not JSON, or lacks what must be known.
    """
    vae = read_config_file(folder / "vae" / "config.json")
    try:
        widths = vae["block_out_channels"]
        autoencoder = VAEConfig(
            ch=widths[0],
            ch_mult=tuple(width // widths[0] for width in widths),
            num_res_blocks=vae["layers_per_block"],
            z_channels=vae["latent_channels"],
            norm_groups=vae["norm_num_groups"],
            scale_factor=vae["scaling_factor"],
            shift_factor=vae["shift_factor"],
        )
    except KeyError as error:
        raise SgtError(folder / "vae" / "config.json", f"has no {error}", "fetch the file again") from None
    transformer = pick(TransformerConfig, read_config_file(folder / "transformer" / "config.json"))
    return OmniGen2Config(transformer, autoencoder, read_language_config(folder / "mllm" / "config.json"))


def write_config(folder: Path, config: OmniGen2Config) -> None:
    """Write the three files, in the form that :func:`read_config` and the official loaders read."""
    vae = config.vae
    levels = len(vae.ch_mult)
    write_json(
        folder / "transformer" / "config.json",
        {"_class_name": "OmniGen2Transformer2DModel", **asdict(config.transformer)},
    )
    write_json(
        folder / "vae" / "config.json",
        {
            "_class_name": "AutoencoderKL",
            "in_channels": vae.in_channels,
            "out_channels": vae.out_ch,
            "down_block_types": ["DownEncoderBlock2D"] * levels,
            "up_block_types": ["UpDecoderBlock2D"] * levels,
            "block_out_channels": [vae.ch * times for times in vae.ch_mult],
            "layers_per_block": vae.num_res_blocks,
            "latent_channels": vae.z_channels,
            "norm_num_groups": vae.norm_groups,
            "scaling_factor": vae.scale_factor,
            "shift_factor": vae.shift_factor,
            "use_quant_conv": False,
            "use_post_quant_conv": False,
        },
    )
    write_json(folder / "mllm" / "config.json", config.mllm)
