"""Flow matching as both families use it: t = 1 is noise, t = 0 is data (``bagel.md`` 3.7)."""

import torch
from torch import Tensor


def timestep(normals: Tensor, shift: float) -> Tensor:
    """Training times from standard normals u: σ(u), then ``s·t / (1 + (s − 1)·t)``; u = −∞ gives a clean t = 0."""
    return shift_time(torch.sigmoid(normals), shift)


def shift_time(t: Tensor, shift: float) -> Tensor:
    """Move times towards noise (shift > 1) or data (shift < 1)."""
    return shift * t / (1 + (shift - 1) * t)


def interpolate(data: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """``(1 − t)·data + t·noise``."""
    return (1 - t) * data + t * noise


def velocity(data: Tensor, noise: Tensor) -> Tensor:
    """The regression target: ``noise − data``."""
    return noise - data


def sampling_times(points: int, shift: float) -> Tensor:
    """``points`` times from 1 to 0, float32; consecutive pairs are the Euler steps."""
    return shift_time(torch.linspace(1, 0, points), shift)
