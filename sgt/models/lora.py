"""Low-rank adapters (LoRA, arXiv 2106.09685) that leave every official parameter name as it is."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ADAPTER = ("lora_down", "lora_up")


class LoRALinear(nn.Linear):
    """A frozen linear layer plus ``scale · up(down(x))``; it takes the weights of the layer it stands for.

    Args:
        linear: the layer; its weight and bias are shared and frozen.
        rank: of the update.
        alpha: the update is scaled by ``alpha / rank``.
        generator: for the initial ``down``; ``up`` starts at zero, so nothing changes at first.
    """

    def __init__(self, linear: nn.Linear, rank: int, alpha: float, generator: torch.Generator) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight.requires_grad_(False), linear.bias
        if self.bias is not None:
            self.bias.requires_grad_(False)
        device, dtype = linear.weight.device, linear.weight.dtype
        bound = math.sqrt(3 / self.in_features)
        down = torch.empty(rank, self.in_features).uniform_(-bound, bound, generator=generator)
        self.lora_down = nn.Parameter(down.to(device, dtype))
        self.lora_up = nn.Parameter(torch.zeros(self.out_features, rank, device=device, dtype=dtype))
        self.scale = alpha / rank

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) → (…, out)."""
        return F.linear(x, self.weight, self.bias) + self.scale * F.linear(F.linear(x, self.lora_down), self.lora_up)

    def merged(self, weight: Tensor, down: Tensor, up: Tensor) -> Tensor:
        """The layer's weight with an update in it."""
        return (weight.float() + self.scale * up.float() @ down.float()).to(weight.dtype)


def add_lora(network: nn.Module, chosen: Callable[[str], bool], rank: int, alpha: float, seed: int) -> int:
    """Put adapters on the linear layers whose parameter names are chosen, and freeze everything else.

    Args:
        network: changed in place.
        chosen: whether the layer of a weight's name gets an adapter.
        rank, alpha: see :class:`LoRALinear`.
        seed: of the initial adapters.

    Returns:
        How many layers were adapted.
    """
    network.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    layers = [name for name, part in network.named_modules() if type(part) is nn.Linear and chosen(f"{name}.weight")]
    for name in layers:
        owner, _, leaf = name.rpartition(".")
        holder = network.get_submodule(owner)
        setattr(holder, leaf, LoRALinear(getattr(holder, leaf), rank, alpha, generator))
    return len(layers)


def merge_lora(network: nn.Module, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights under the official names: each adapter is added to its layer.

    Args:
        network: with or without adapters.
        weights: all of its parameters by name; an average may stand for some of them.
    """
    merged = {name: value for name, value in weights.items() if name.rpartition(".")[2] not in ADAPTER}
    for name, part in network.named_modules():
        if isinstance(part, LoRALinear):
            tensors = (weights[f"{name}.{part_name}"] for part_name in ("weight", *ADAPTER))
            merged[f"{name}.weight"] = part.merged(*tensors)
    return merged
