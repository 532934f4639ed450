"""Layers that both families are made of."""

import math
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

# Runs a layer now and once more in the backward pass, keeping its inputs alone.
rerun = partial(checkpoint, use_reentrant=False, preserve_rng_state=False)
TIME_FEATURES = 256


class RMSNorm(nn.Module):
    """``w · x / rms(x)``; statistics in fp32, product in the input's dtype."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """(…, width) → the same shape and dtype."""
        x32 = x.float()
        return self.weight.to(x.dtype) * (x32 * torch.rsqrt(x32.square().mean(-1, keepdim=True) + self.eps)).to(x.dtype)


def time_features(t: Tensor) -> Tensor:
    """Cosines, then sines, of times (N,) at ``TIME_FEATURES / 2`` frequencies from 1 down to 1/10,000: fp32."""
    half = TIME_FEATURES // 2
    frequencies = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32, device=t.device) / half)
    angles = t.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)
