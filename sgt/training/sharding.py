"""Weights sharded over processes (FSDP2), and the rows of them that each process holds."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

from sgt.training.distributed import DistributedContext


def shard(
    network: nn.Module,
    blocks: Sequence[nn.Module],
    context: DistributedContext,
    autocast: torch.dtype | None = None,
) -> None:
    """Shard every parameter by rows over the processes; does nothing if there is only one.

    Args:
        network: changed in place; the same weights in every process.
        blocks: its modules whose weights are gathered one at a time.
        context: the processes.
        autocast: dtype that gathered weights are cast to; gradients are then summed in fp32.
    """
    if context.size == 1:
        return
    mesh = init_device_mesh(context.device.type, (context.size,))
    # Inputs keep their precision: rotary angles and latents stay in fp32, autocast casts the rest.
    policy = MixedPrecisionPolicy(
        param_dtype=autocast, reduce_dtype=torch.float32 if autocast else None, cast_forward_inputs=False
    )
    for module in (*blocks, network):
        fully_shard(module, mesh=mesh, mp_policy=policy)


def local_rows(tensor: Tensor) -> Tensor:
    """The rows of a tensor that this process holds, all of one that is not sharded; shares its memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def first_row(tensor: Tensor, context: DistributedContext) -> int:
    """Index of the first row that this process holds: all processes hold equally many rows, the last ones fewer."""
    if not isinstance(tensor, DTensor):
        return 0
    per_process = -(-tensor.shape[0] // context.size)
    return min(context.rank * per_process, tensor.shape[0])


def full_tensor(tensor: Tensor, like: Tensor | None = None) -> Tensor:
    """All rows of a tensor, gathered from every process.

    Args:
        tensor: sharded or not, or this process's rows of one.
        like: if ``tensor`` holds only this process's rows, a tensor that is sharded in the same way.
    """
    if isinstance(like, DTensor) and not isinstance(tensor, DTensor):
        tensor = DTensor.from_local(
            tensor, like.device_mesh, like.placements, run_check=False, shape=like.shape, stride=like.stride()
        )
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def full_weights(
    network: nn.Module, average: dict[str, Tensor] | None, context: DistributedContext
) -> dict[str, Tensor]:
    """Every parameter by name, on the CPU of the main process; empty in the others, which must call it too.

    Args:
        network: sharded or not.
        average: this process's rows of the weights that replace the network's own.
        context: the processes.
    """
    # A forward pass without a backward pass leaves weights gathered.
    for module in network.modules():
        if isinstance(module, FSDPModule):
            module.reshard()
    weights = {}
    for name, parameter in network.named_parameters():
        value = parameter.detach() if average is None else average.get(name, parameter.detach())
        value = full_tensor(value, parameter)
        if context.is_main:
            weights[name] = value.to("cpu")
    return weights
