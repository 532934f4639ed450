"""Weights spread over processes (FSDP2), and the rows of them that each process holds."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

from sgt.training.world import World


def shard(network: nn.Module, blocks: Sequence[nn.Module], world: World, autocast: torch.dtype | None = None) -> None:
    """Spread every parameter by rows over the processes; does nothing if there is only one.

    Args:
        network: changed in place; the same weights in every process.
        blocks: its parts whose weights are gathered one at a time.
        world: the processes.
        autocast: dtype that gathered weights are cast to; gradients are then summed in fp32.
    """
    if world.size == 1:
        return
    mesh = init_device_mesh(world.device.type, (world.size,))
    # Inputs keep their precision: rotary angles and latents stay in fp32, autocast decides about the rest.
    policy = MixedPrecisionPolicy(
        param_dtype=autocast, reduce_dtype=torch.float32 if autocast else None, cast_forward_inputs=False
    )
    options = {"mesh": mesh, "mp_policy": policy}
    for block in blocks:
        fully_shard(block, **options)
    fully_shard(network, **options)


def local(tensor: Tensor) -> Tensor:
    """The rows that this process holds (all of a tensor that is not spread); shares memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def first_row(tensor: Tensor, world: World) -> int:
    """Number of the first row that this process holds: rows are dealt in equal runs, the last may be short."""
    if not isinstance(tensor, DTensor):
        return 0
    per_process = -(-tensor.shape[0] // world.size)
    return min(world.rank * per_process, tensor.shape[0])


def whole(tensor: Tensor, like: Tensor | None = None) -> Tensor:
    """All rows of a tensor, gathered from every process.

    Args:
        tensor: spread or not, or this process's rows of one.
        like: a tensor that is spread as it is, if ``tensor`` holds rows alone.
    """
    if isinstance(like, DTensor) and not isinstance(tensor, DTensor):
        layout = {"shape": like.shape, "stride": like.stride(), "run_check": False}
        tensor = DTensor.from_local(tensor, like.device_mesh, like.placements, **layout)
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def whole_weights(network: nn.Module, average: dict[str, Tensor] | None, world: World) -> dict[str, Tensor]:
    """Every parameter by name, on the CPU of the main process; the others help and get nothing.

    Args:
        network: spread or not.
        average: this process's rows of the weights that replace the network's own.
        world: the processes.
    """
    # A forward pass without a backward one leaves weights gathered.
    for module in network.modules():
        if isinstance(module, FSDPModule):
            module.reshard()
    weights = {}
    for name, parameter in network.named_parameters():
        value = parameter.detach() if average is None else average.get(name, parameter.detach())
        value = whole(value, parameter)
        if world.is_main:
            weights[name] = value.to("cpu")
    return weights
