"""A network with its weights: what training and inference share."""

from abc import ABC
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import nn

from sgt.models.vae import VAE


class LoadedModel(ABC):
    """A network with its weights.

    Attributes:
        network: the weights that post-training changes.
        vae: encodes and decodes the images that the network makes; frozen.
        autocast: run the network's matrix products in bf16, whatever the dtype of its weights.
    """

    network: nn.Module
    vae: VAE
    autocast: bool = False

    @property
    def device(self) -> torch.device:
        """Where the network's weights are."""
        return next(self.network.parameters()).device

    def arithmetic(self) -> torch.autocast:
        """The context in which the network runs; operations that need fp32 use it regardless."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast)


def inference(method: Callable) -> Callable:
    """Run a method of a model without gradients and under its :meth:`LoadedModel.arithmetic`."""

    @wraps(method)
    def run(self: LoadedModel, *args: Any, **kwargs: Any) -> Any:
        with torch.no_grad(), self.arithmetic():
            return method(self, *args, **kwargs)

    return run
