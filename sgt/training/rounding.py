"""AdamW for bf16 weights: computed in fp32, then rounded stochastically so that small updates are not lost.

A bf16 number has eight significant bits: an update below 1/512 of its weight would vanish under rounding to nearest,
step after step. Rounded up with a probability equal to the remainder, it is applied on average. Nothing is kept in
fp32, so weights, gradients and moments take eight bytes per value.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from sgt.training.sharding import local_rows

# Values computed at once; a step needs a few fp32 numbers for each of them beside the optimizer's state.
CHUNK = 2**25


class RoundingAdamW(torch.optim.Optimizer):
    """AdamW whose weights and moments keep their own dtype; random draws are from their device's global generator.

    Args:
        parameters: of dtype bf16, or fp32, which is not rounded; or groups of them.
        lr, betas, eps, weight_decay: see :class:`torch.optim.AdamW`.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter] | Iterable[dict],
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # takes no closure
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["step"] = torch.zeros(())
                    state["exp_avg"], state["exp_avg_sq"] = (torch.zeros_like(parameter) for _ in range(2))
                state["step"] += 1
                tensors = (parameter, parameter.grad, state["exp_avg"], state["exp_avg_sq"])
                for chunks in zip(*(_flat(tensor).split(CHUNK) for tensor in tensors), strict=True):
                    weight, gradient, first, second = chunks
                    _step(weight, gradient, first, second, int(state["step"]), group)


def _step(weight: Tensor, gradient: Tensor, first: Tensor, second: Tensor, step: int, group: dict) -> None:
    beta1, beta2 = group["betas"]
    gradient = gradient.float()
    mean = first.float().lerp(gradient, 1 - beta1)
    square = (second.float() * beta2).addcmul_(gradient, gradient, value=1 - beta2)
    size = (square / (1 - beta2**step)).sqrt_().add_(group["eps"])
    moved = weight.float() * (1 - group["lr"] * group["weight_decay"])
    moved.addcdiv_(mean, size, value=-group["lr"] / (1 - beta1**step))
    for target, value in ((first, mean), (second, square), (weight, moved)):
        target.copy_(rounded(value) if target.dtype == torch.bfloat16 else value)


def rounded(x: Tensor) -> Tensor:
    """fp32 → bf16, rounded up or down with probabilities that make the expected value equal the input."""
    bits = x.contiguous().view(torch.int32)
    noise = torch.randint(0, 2**16, bits.shape, dtype=torch.int32, device=x.device)
    return ((bits + noise) & -(2**16)).view(torch.float32).bfloat16()


def _flat(tensor: Tensor) -> Tensor:
    """This process's rows of a tensor, flattened; shares its memory."""
    return local_rows(tensor).view(-1)
