"""Blocks of the diffusion transformer, under the official parameter names (``omnigen2.md`` 2 and 3).

Tokens of all samples lie one after another; a layout defines which of them attend to one another.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgt.models.attention import Layout, attend
from sgt.models.layers import TIME_FEATURES, RMSNorm, time_features
from sgt.models.omnigen2.config import TransformerConfig

THETA = 10000.0


def rotary(positions: Tensor, axes: Sequence[int]) -> Tensor:
    """Unit complex numbers that pairs of a head's numbers are multiplied by.

    Args:
        positions: int64 (N, 3).
        axes: numbers per head that belong to each axis.

    Returns:
        complex128 (N, half a head): the pairs of the first axis, then the second's, then the third's.
    """
    angles = []
    for axis, width in enumerate(axes):
        exponents = torch.arange(0, width, 2, dtype=torch.float64, device=positions.device) / width
        angles.append(positions[:, axis, None].double() * THETA**-exponents)
    angle = torch.cat(angles, dim=1)
    return torch.polar(torch.ones_like(angle), angle)


def rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Turn neighbouring pairs of each head's numbers, in fp32.

    Args:
        x: (N, H, D).
        rotation: complex64 (N, D / 2).

    Returns:
        The shape and dtype of ``x``.
    """
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * rotation[:, None]).flatten(-2).to(x.dtype)


class Attention(nn.Module):
    """Grouped-query attention with normalised, rotated queries and keys."""

    attend = staticmethod(attend)

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        width, head = config.hidden_size, config.head_dim
        self.head_dim = head
        self.to_q = nn.Linear(width, config.num_attention_heads * head, bias=False)
        self.to_k = nn.Linear(width, config.num_kv_heads * head, bias=False)
        self.to_v = nn.Linear(width, config.num_kv_heads * head, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(config.num_attention_heads * head, width, bias=False)])
        self.norm_q = RMSNorm(head, 1e-5)
        self.norm_k = RMSNorm(head, 1e-5)

    def forward(self, x: Tensor, rotation: Tensor, layout: Layout) -> Tensor:
        """(N, width), complex64 (N, head / 2), layout → (N, width)."""
        q, k, v = (part(x).unflatten(-1, (-1, self.head_dim)) for part in (self.to_q, self.to_k, self.to_v))
        q, k = rotate(self.norm_q(q), rotation), rotate(self.norm_k(k), rotation)
        return self.to_out[0](self.attend(q, k, v, layout))


class FeedForward(nn.Module):
    """SwiGLU; its SiLU is evaluated in fp32."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(width, inner, bias=False)
        self.linear_2 = nn.Linear(inner, width, bias=False)
        self.linear_3 = nn.Linear(width, inner, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, width) → (N, width)."""
        gate = self.linear_1(x)
        return self.linear_2(F.silu(gate.float()).to(gate.dtype) * self.linear_3(x))


class TimedNorm(nn.Module):
    """A norm whose scale, and the scales and gates of its block, follow the time vector."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.linear = nn.Linear(config.time_dim, 4 * config.hidden_size)
        self.norm = RMSNorm(config.hidden_size, config.norm_eps)


class TextBlock(nn.Module):
    """Attention and feed-forward between norms, each added to its input."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.attn = Attention(config)
        self.feed_forward = FeedForward(config.hidden_size, config.feed_forward)
        self.norm1 = RMSNorm(config.hidden_size, config.norm_eps)
        self.norm2 = RMSNorm(config.hidden_size, config.norm_eps)
        self.ffn_norm1 = RMSNorm(config.hidden_size, config.norm_eps)
        self.ffn_norm2 = RMSNorm(config.hidden_size, config.norm_eps)

    def forward(self, x: Tensor, rotation: Tensor, layout: Layout) -> Tensor:
        """(N, width), complex64 (N, head / 2), layout → (N, width)."""
        x = x + self.norm2(self.attn(self.norm1(x), rotation, layout))
        return x + self.ffn_norm2(self.feed_forward(self.ffn_norm1(x)))


class TimedBlock(nn.Module):
    """A :class:`TextBlock`, scaled before and gated after by the time of each token's sample."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.attn = Attention(config)
        self.feed_forward = FeedForward(config.hidden_size, config.feed_forward)
        self.norm1 = TimedNorm(config)
        self.norm2 = RMSNorm(config.hidden_size, config.norm_eps)
        self.ffn_norm1 = RMSNorm(config.hidden_size, config.norm_eps)
        self.ffn_norm2 = RMSNorm(config.hidden_size, config.norm_eps)

    def forward(self, x: Tensor, rotation: Tensor, layout: Layout, time: Tensor, sample: Tensor) -> Tensor:
        """As :class:`TextBlock`, with time vectors (samples, time) and each token's sample, int64 (N,)."""
        parts = self.norm1.linear(F.silu(time)).index_select(0, sample)
        scale, gate, inner_scale, inner_gate = parts.chunk(4, dim=1)
        scaled = self.norm1.norm(x) * (1 + scale)
        x = x + gate.tanh() * self.norm2(self.attn(scaled, rotation, layout))
        return x + inner_gate.tanh() * self.ffn_norm2(self.feed_forward(self.ffn_norm1(x) * (1 + inner_scale)))


class TimeEmbedding(nn.Module):
    """Sinusoids through a two-layer MLP."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(TIME_FEATURES, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, t: Tensor) -> Tensor:
        """(samples,), scaled → (samples, width)."""
        return self.linear_2(F.silu(self.linear_1(time_features(t).to(self.linear_1.weight.dtype))))


class TimeCaptionEmbedding(nn.Module):
    """Time vectors, and the language model's states as tokens."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.timestep_embedder = TimeEmbedding(config.time_dim)
        self.caption_embedder = nn.Sequential(
            RMSNorm(config.text_feat_dim, config.norm_eps), nn.Linear(config.text_feat_dim, config.hidden_size)
        )


class TimedOutput(nn.Module):
    """A norm without weights, scaled by time, and the projection to numbers of a latent token."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(config.time_dim, config.hidden_size)
        self.linear_2 = nn.Linear(config.hidden_size, config.token_dim)

    def forward(self, x: Tensor, time: Tensor, sample: Tensor) -> Tensor:
        """(N, width), time vectors, each token's sample → (N, numbers per token)."""
        scale = self.linear_1(F.silu(time)).index_select(0, sample)
        return self.linear_2(F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale))
