"""AdamW, its learning-rate schedule, and the moving average of the weights."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import nn

from sgt.config.recipe import Optimizer
from sgt.training.rounding import RoundingAdamW
from sgt.training.sharding import local_rows


def make_adamw(parameters: Iterable[nn.Parameter] | Iterable[dict], recipe: Optimizer) -> torch.optim.Optimizer:
    """The optimizer of a recipe, of parameters or groups of them. Whoever steps it sets the :func:`learning_rate`."""
    if recipe.rounding == "stochastic":
        return RoundingAdamW(parameters, recipe.lr, recipe.betas, recipe.eps, recipe.weight_decay)
    return torch.optim.AdamW(parameters, recipe.lr, recipe.betas, recipe.eps, recipe.weight_decay, fused=True)


def learning_rate(recipe: Optimizer, step: int, steps: int) -> float:
    """Learning rate of ``step`` (from 0) of ``steps``: linear warm-up, then constant or a cosine to zero."""
    if step < recipe.warmup:
        return recipe.lr * (step + 1) / recipe.warmup
    if recipe.schedule == "constant":
        return recipe.lr
    progress = (step - recipe.warmup) / max(steps - recipe.warmup, 1)
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * progress))


def groups_by_scale(parameters: dict[str, nn.Parameter], scale_of: Callable[[str], float]) -> list[dict]:
    """Groups of parameters, each with its ``scale``: what its learning rate is multiplied by.

    Args:
        parameters: by name.
        scale_of: of a parameter, by its name.
    """
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in parameters.items():
        groups.setdefault(scale_of(name), []).append(parameter)
    return [{"params": members, "scale": scale} for scale, members in groups.items()]


class WeightAverage:
    """Exponential moving average of trainable weights, in fp32; each process keeps the rows it holds.

    Args:
        decay: weight of the previous average at every step.
        parameters: by name.

    Attributes:
        weights: by name.
    """

    def __init__(self, decay: float, parameters: dict[str, nn.Parameter]) -> None:
        self.decay = decay
        self.weights = {name: local_rows(parameter).detach().float().clone() for name, parameter in parameters.items()}

    @torch.no_grad()
    def update(self, parameters: dict[str, nn.Parameter]) -> None:
        """Move the average towards the current weights."""
        for name, parameter in parameters.items():
            self.weights[name].lerp_(local_rows(parameter).detach().float(), 1 - self.decay)
