"""The two-expert decoder and the vision encoder, under the official parameter names (``bagel.md`` 2.1, 3.1).

Hidden states are two packed streams: the tokens of the understanding expert (text, image patches, markers) and those
of the generation expert (latents). Each expert's linear layers process its own stream; the attention joins both.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgt.models.attention import KVCache, Layout, attend
from sgt.models.bagel.config import LLMConfig, ViTConfig
from sgt.models.layers import RMSNorm, rerun

Streams = tuple[Tensor, Tensor]
EXPERTS = ("", "_moe_gen")


def rotary(positions: Tensor, head_dim: int, theta: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines of int64 positions (N,), fp32 (N, 1, head_dim / 2)."""
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float32, device=positions.device) / head_dim
    angles = positions[:, None].float() * theta**-exponents
    return angles.cos()[:, None], angles.sin()[:, None]


def rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate the halves of each head: (N, H, D) → the same shape and dtype."""
    cos, sin = rotation
    first, second = x.float().chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1).to(x.dtype)


class MoTAttention(nn.Module):
    """Projections per expert, one attention over all tokens."""

    attend = staticmethod(attend)
    o_proj: nn.Linear
    o_proj_moe_gen: nn.Linear

    def __init__(self, config: LLMConfig) -> None:
        super().__init__()
        width, head = config.hidden_size, config.head_dim
        self.head_dim = head
        for expert in EXPERTS:
            self.add_module(f"q_proj{expert}", nn.Linear(width, config.num_attention_heads * head))
            self.add_module(f"k_proj{expert}", nn.Linear(width, config.num_key_value_heads * head))
            self.add_module(f"v_proj{expert}", nn.Linear(width, config.num_key_value_heads * head))
            self.add_module(f"o_proj{expert}", nn.Linear(config.num_attention_heads * head, width, bias=False))
            self.add_module(f"q_norm{expert}", RMSNorm(head, config.rms_norm_eps))
            self.add_module(f"k_norm{expert}", RMSNorm(head, config.rms_norm_eps))

    def _project(self, name: str, streams: Streams) -> Tensor:
        """Both streams through one projection, as heads: (N, H, D)."""
        norm = f"{name}_norm"
        parts = []
        for expert, x in zip(EXPERTS, streams, strict=True):
            x = getattr(self, f"{name}_proj{expert}")(x).unflatten(-1, (-1, self.head_dim))
            parts.append(getattr(self, norm + expert)(x) if name != "v" else x)
        return torch.cat(parts)

    def forward(self, streams: Streams, rotation: tuple, layout: Layout, cache: KVCache | None) -> Streams:
        """Normalised streams → what each adds to its residual."""
        q = rotate(self._project("q", streams), rotation)
        k = rotate(self._project("k", streams), rotation)
        mixed = self.attend(q, k, self._project("v", streams), layout, cache)
        und, gen = mixed.split([len(x) for x in streams])
        return self.o_proj(und), self.o_proj_moe_gen(gen)


class MLP(nn.Module):
    """``down(silu(gate(x)) · up(x))``."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(width, hidden, bias=False)
        self.up_proj = nn.Linear(width, hidden, bias=False)
        self.down_proj = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, width) → the same shape."""
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class MoTDecoderLayer(nn.Module):
    """Pre-norm attention and MLP, with everything but the attention itself doubled."""

    input_layernorm: RMSNorm
    input_layernorm_moe_gen: RMSNorm
    post_attention_layernorm: RMSNorm
    post_attention_layernorm_moe_gen: RMSNorm
    mlp: MLP
    mlp_moe_gen: MLP

    def __init__(self, config: LLMConfig) -> None:
        super().__init__()
        self.self_attn = MoTAttention(config)
        for expert in EXPERTS:
            self.add_module(f"input_layernorm{expert}", RMSNorm(config.hidden_size, config.rms_norm_eps))
            self.add_module(f"post_attention_layernorm{expert}", RMSNorm(config.hidden_size, config.rms_norm_eps))
            self.add_module(f"mlp{expert}", MLP(config.hidden_size, config.intermediate_size))

    def forward(self, streams: Streams, rotation: tuple, layout: Layout, cache: KVCache | None) -> Streams:
        """Both streams → both streams."""
        und, gen = streams
        mixed = self.self_attn((self.input_layernorm(und), self.input_layernorm_moe_gen(gen)), rotation, layout, cache)
        und, gen = und + mixed[0], gen + mixed[1]
        und = und + self.mlp(self.post_attention_layernorm(und))
        gen = gen + self.mlp_moe_gen(self.post_attention_layernorm_moe_gen(gen))
        return und, gen


class MoTDecoder(nn.Module):
    """Embedding, layers and the two final norms."""

    def __init__(self, config: LLMConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(MoTDecoderLayer(config) for _ in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.norm_moe_gen = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.activation_checkpointing = False

    def forward(
        self, streams: Streams, positions: Tensor, layout: Layout, caches: list[KVCache] | None = None
    ) -> Streams:
        """Embedded streams → final hidden states.

        Args:
            streams: (N_und, width) and (N_gen, width).
            positions: int64 (N_und + N_gen,), understanding tokens first.
            layout: of the same tokens in the same order.
            caches: one per layer.
        """
        rotation = rotary(positions, self.config.head_dim, self.config.rope_theta)
        for index, layer in enumerate(self.layers):
            given = streams, rotation, layout, caches[index] if caches else None
            streams = (
                rerun(layer, *given) if self.activation_checkpointing and torch.is_grad_enabled() else layer(*given)
            )
        return self.norm(streams[0]), self.norm_moe_gen(streams[1])


def compile_layer(layer: nn.Module) -> None:
    """Fuse what a layer does, for packs of any size; its attention stays apart and has a kernel of its own."""
    # An attribute of the instance takes precedence over the class's.
    vars(layer.get_submodule("self_attn"))["attend"] = torch.compiler.disable(attend)
    layer.compile(dynamic=True)


class MoTForCausalLM(nn.Module):
    """The decoder and its text head."""

    def __init__(self, config: LLMConfig) -> None:
        super().__init__()
        self.model = MoTDecoder(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)


class ViTEmbeddings(nn.Module):
    """A linear patch embedding plus a learned position."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.patch_embedding = nn.Linear(config.num_channels * config.patch_size**2, config.hidden_size)
        self.position_embedding = nn.Embedding(config.side**2, config.hidden_size)

    def forward(self, patches: Tensor, positions: Tensor) -> Tensor:
        """(N, channels·patch²) and int64 (N,) → (N, width)."""
        return self.patch_embedding(patches) + self.position_embedding(positions)


class ViTAttention(nn.Module):
    """Multi-head attention within an image."""

    attend = staticmethod(attend)

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads = config.num_attention_heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        """(N, width) → the same shape."""
        q, k, v = (f(x).unflatten(-1, (self.heads, -1)) for f in (self.q_proj, self.k_proj, self.v_proj))
        return self.out_proj(self.attend(q, k, v, layout))


class ViTMLP(nn.Module):
    """Two linear layers around a tanh-approximated GELU."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """(N, width) → the same shape."""
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class ViTLayer(nn.Module):
    """Pre-norm attention and MLP."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.self_attn = ViTAttention(config)
        self.layer_norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = ViTMLP(config)

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        """(N, width) → the same shape."""
        x = x + self.self_attn(self.layer_norm1(x), layout)
        return x + self.mlp(self.layer_norm2(x))


class ViTEncoder(nn.Module):
    """The stack of layers."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(ViTLayer(config) for _ in range(config.num_hidden_layers))


class VisionTransformer(nn.Module):
    """Packed patches of any number of images → features after the post-layernorm."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.embeddings = ViTEmbeddings(config)
        self.encoder = ViTEncoder(config)
        self.post_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.activation_checkpointing = False

    def forward(self, patches: Tensor, positions: Tensor, layout: Layout) -> Tensor:
        """(N, channels·patch²), int64 (N,), one layout row per image → (N, width)."""
        x = self.embeddings(patches, positions)
        for layer in self.encoder.layers:
            x = (
                rerun(layer, x, layout)
                if self.activation_checkpointing and torch.is_grad_enabled()
                else layer(x, layout)
            )
        return self.post_layernorm(x)


class VisionModel(nn.Module):
    """Holds the encoder under its official name."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.vision_model = VisionTransformer(config)
