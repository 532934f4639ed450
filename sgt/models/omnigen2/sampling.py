"""Making images from text features and reference latents (``omnigen2.md`` 4)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from sgt.models import flow
from sgt.models.interface import Sampling
from sgt.models.omnigen2.transformer import OmniGen2Transformer
from sgt.models.solvers import SOLVERS

Watcher = Callable[[int, Tensor, list[Tensor], Tensor], None]


@dataclass(frozen=True)
class Branch:
    """What one guidance branch is given, for every image of a call.

    Attributes:
        features: text features (tokens, text width) per image.
        references: clean latents per image.
    """

    features: list[Tensor]
    references: list[list[Tensor]]


def guide(velocities: Sequence[Tensor], sampling: Sampling) -> Tensor:
    """Combine the branches: with everything, with a negative text, and with that and no reference images.

    Two branches guide by text alone.
    """
    full, *others = velocities
    if not others:
        return full
    if len(others) == 1:
        return others[0] + sampling.cfg_text_scale * (full - others[0])
    shown, neither = others
    return neither + sampling.cfg_image_scale * (shown - neither) + sampling.cfg_text_scale * (full - shown)


def guides(step: int, sampling: Sampling) -> bool:
    """Whether guidance acts at a step: its share of all steps lies in the mirrored interval, both ends included."""
    share, low, high = step / (sampling.num_steps), 1 - sampling.cfg_interval[1], 1 - sampling.cfg_interval[0]
    return low - 1e-9 <= share <= high + 1e-9


def sample_latents(
    transformer: OmniGen2Transformer,
    branches: Sequence[Branch],
    noise: Tensor,
    sampling: Sampling,
    watch: Watcher | None = None,
) -> Tensor:
    """Integrate from noise to latents, all guidance branches as one batch.

    Args:
        transformer: gives the velocities.
        branches: see :func:`guide`; one if there is no guidance.
        noise: (images, z, h, w).
        sampling: of the sampler.
        watch: called with (step, x, velocity of each branch, guided velocity) before each step.

    Returns:
        Latents, the shape of ``noise``.
    """
    read = [_read(transformer, branch) for branch in branches]
    tokens = noise[0, 0].numel() // transformer.config.patch_size**2
    times = flow.sampling_times(sampling.num_steps, flow.shift_factor(sampling.shift, tokens)).tolist()
    solver = SOLVERS[sampling.solver]()
    x = noise
    for step, (t, after) in enumerate(pairwise(times)):
        used = read if guides(step, sampling) else read[:1]
        text = torch.cat([part for part, _, _ in used])
        lengths = [length for _, part, _ in used for length in part]
        references = [given for _, _, part in used for given in part]
        latents = [latent for _ in used for latent in x]
        when = torch.full((len(latents),), 1 - t, device=x.device)
        raw = torch.stack(transformer(text, lengths, latents, when, references)).float().chunk(len(used))
        v = guide(raw, sampling)
        if watch:
            watch(step, x, list(raw), v)
        x = solver.step(x, -v, t, after)
    return x


def _read(transformer: OmniGen2Transformer, branch: Branch) -> tuple[Tensor, list[int], list[list[Tensor]]]:
    lengths = [len(features) for features in branch.features]
    return transformer.read_text(torch.cat(branch.features), lengths), lengths, branch.references
