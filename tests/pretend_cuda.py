"""A pretended CUDA device, on machines without one: it computes on the CPU and refuses what CUDA refuses.

Its tensors report the device ``cuda:0``, so code takes the branches that it takes there. An operation that mixes them
with tensors of the CPU fails, as does a conversion to NumPy. Kernels, their precision, memory and speed are not tested.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import safetensors.torch
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

from sgt.models import flex

CUDA = torch.device("cuda", 0)
SAVE_FILE, RUN_BACKWARD = safetensors.torch.save_file, torch.autograd._engine_run_backward
aten = torch.ops.aten
COPYING = {aten.copy_, aten._to_copy}
INDEXING = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_}


class OnCuda(Tensor):
    """A tensor of the pretended device; its numbers are in ``held``, a tensor of the CPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> "OnCuda":
        # PyTorch's own code, below Python, takes it for a tensor of the CPU: autograd works without a driver.
        about = {"strides": held.stride(), "storage_offset": held.storage_offset(), "dtype": held.dtype}
        tensor = Tensor._make_wrapper_subclass(cls, held.shape, **about)
        tensor.held = held.detach()
        return tensor

    device = CUDA
    is_cuda = True
    is_cpu = False
    __torch_function__ = torch._C._disabled_torch_function_impl

    def __repr__(self) -> str:
        return f"OnCuda({self.held!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func.overloadpacket not in COPYING:
            together = tree_leaves((args, kwargs))
            if func.overloadpacket in INDEXING and isinstance(args[0], OnCuda):
                # A tensor on the device takes indices of the CPU, too.
                together = tree_leaves((args[0], args[2:], kwargs))
            if any(isinstance(each, Tensor) and not isinstance(each, OnCuda) and each.dim() for each in together):
                raise RuntimeError(f"{func}: expected all tensors to be on the same device, found cuda:0 and cpu")
        out = func(*tree_map(_held, args), **tree_map(_held, kwargs))
        if func.overloadpacket is aten.copy_ and not isinstance(args[0], OnCuda):
            return args[0]
        return return_and_correct_aliasing(func, args, kwargs, tree_map(_on_cuda, out))


def _held(value: Any) -> Any:
    return value.held if isinstance(value, OnCuda) else value


def _on_cuda(value: Any) -> Any:
    return OnCuda(value) if isinstance(value, Tensor) else value


class _ToCuda(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return OnCuda(x.clone())

    @staticmethod
    def backward(ctx: Any, gradient: OnCuda) -> Tensor:
        return gradient.held


class _ToCPU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: OnCuda) -> Tensor:
        return x.held.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return OnCuda(gradient)


def _to(x: Tensor, *args: Any, copy: bool = False, **kwargs: Any) -> Tensor:
    """``Tensor.to`` in all its forms."""
    values = [*args, *kwargs.values()]
    for other in [value for value in values if isinstance(value, Tensor)]:
        values += [other.device, other.dtype]
    for device in [torch.device(value) for value in values if isinstance(value, torch.device | str)]:
        x = _moved(x, device)
    for dtype in [value for value in values if isinstance(value, torch.dtype)]:
        x = x.to(dtype)
    return x.clone() if copy else x


class _Placing(TorchFunctionMode):
    """Makes tensors on the pretended device where ``cuda`` is named, and moves tensors to it and from it."""

    def __torch_function__(
        self, func: Callable, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is Tensor.cpu:
            return _moved(args[0], torch.device("cpu"))
        if func is Tensor.cuda:
            return _moved(args[0], CUDA)
        if func is Tensor.numpy and isinstance(args[0], OnCuda):
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        if func is Tensor.tolist:
            return _held(args[0]).tolist()
        if func is Tensor.to:
            return _to(*args, **kwargs)
        kwargs.pop("pin_memory", None)
        named = kwargs.get("device")
        if named is not None and torch.device(named).type == "cuda":
            return _moved(func(*args, **{**kwargs, "device": "cpu"}), CUDA)
        return func(*args, **kwargs)


def _moved(x: Tensor, device: torch.device) -> Tensor:
    if device.type == "cuda":
        return x if isinstance(x, OnCuda) else _ToCuda.apply(x) if x.requires_grad else OnCuda(x.clone())
    return _ToCPU.apply(x) if isinstance(x, OnCuda) else x.to(device)


def _flex_attention() -> Callable[..., Tensor]:
    """Instead of the fused kernel: the same attention, from a mask of all pairs of places."""

    def attention(q: Tensor, k: Tensor, v: Tensor, block_mask: Any, enable_gqa: bool) -> Tensor:
        length = q.shape[2]
        place = torch.arange(length, device=q.device)
        mask = block_mask.mask_mod(None, None, place[:, None], place)
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=enable_gqa)

    return attention


class _Generator(torch.Generator):
    """One of the CPU, wherever its numbers are needed."""

    def __new__(cls, device: Any = None) -> "_Generator":
        return super().__new__(cls)


def _run_backward(*args: Any, **kwargs: Any) -> Any:
    """Activations that are computed again on the way back are on the device, too."""
    with _Placing():
        return RUN_BACKWARD(*args, **kwargs)


def _save_file(tensors: Mapping[str, Tensor], *where: Any) -> None:
    """The library reads the memory of its tensors."""
    SAVE_FILE({name: _held(tensor) for name, tensor in tensors.items()}, *where)


@contextmanager
def pretend_cuda() -> Iterator[torch.device]:
    """While it is entered, this thread has a CUDA device, which is returned."""
    # A module that is moved gets new parameters; its old ones cannot be given data of another class.
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with (
            mock.patch.object(flex, "compiled_attention", _flex_attention),
            mock.patch.object(safetensors.torch, "save_file", _save_file),
            mock.patch.object(torch, "Generator", _Generator),
            mock.patch.object(torch.autograd, "_engine_run_backward", _run_backward),
            _Placing(),
        ):
            yield CUDA
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(before)
