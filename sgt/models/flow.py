"""Flow matching as both families use it: t = 1 is noise, t = 0 is data (``bagel.md`` 3.7).

OmniGen2 counts the other way, τ = 1 − t from noise to data, and learns the opposite velocity; its time shift
``τ / (m − m·τ + τ)`` is then the shift of t by m that BAGEL has, so both share every line here.
"""

import math

import torch
from torch import Tensor

from sgt.config.recipe import TimeSampling, TimeShift

# Tokens of a 1024² image: what the static shift takes for every image.
STATIC_TOKENS = 4096
# One of so many equal parts of [0, 1]: (which, how many).
Stratum = tuple[int, int]


def shift_factor(shift: TimeShift, tokens: int) -> float:
    """The number that times are shifted by.

    Args:
        shift: the number itself, or ``dynamic_v1``, ``static_v1``, ``dynamic_v2`` (``omnigen2.md`` 3).
        tokens: of the image, each two by two latent cells.
    """
    if not isinstance(shift, str):
        return shift
    if shift == "dynamic_v2":
        return math.sqrt(tokens) / 20
    counted = STATIC_TOKENS if shift == "static_v1" else tokens
    return math.exp(0.5 + (1.15 - 0.5) * (counted - 256) / (4096 - 256))


def draw_time(sampling: TimeSampling, generator: torch.Generator, stratum: Stratum) -> float:
    """An unshifted training time of one image.

    Args:
        sampling: ``lognormal``, σ(N(0, 1)), or ``stratified_uniform``, uniform in the image's stratum.
        generator: of the draw.
        stratum: of the image.
    """
    if sampling == "lognormal":
        return torch.sigmoid(torch.randn((), generator=generator)).item()
    place, count = stratum
    return (place + torch.rand((), generator=generator).item()) / count


def timestep(normals: Tensor, shift: float) -> Tensor:
    """Training times from standard normals u: σ(u), then ``s·t / (1 + (s − 1)·t)``; u = −∞ gives a clean t = 0."""
    return shift_time(torch.sigmoid(normals), shift)


def shift_time(t: Tensor, shift: float | Tensor) -> Tensor:
    """Move times towards noise (shift > 1) or data (shift < 1), all by one shift or each by its own."""
    return shift * t / (1 + (shift - 1) * t)


def interpolate(data: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """``(1 − t)·data + t·noise``."""
    return (1 - t) * data + t * noise


def velocity(data: Tensor, noise: Tensor) -> Tensor:
    """The regression target: ``noise − data``."""
    return noise - data


def sampling_times(num_steps: int, shift: float) -> Tensor:
    """``num_steps`` + 1 times from 1 to 0, float32; consecutive pairs are the steps."""
    return shift_time(torch.linspace(1, 0, num_steps + 1), shift)
