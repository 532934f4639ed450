"""Reading safetensors into a module that was built on the meta device: one copy of the weights in memory, no more."""

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from sgt.errors import SgtError


def weight_files(folder: Path, name: str) -> list[Path]:
    """The file ``NAME.safetensors``, or the parts that ``NAME.safetensors.index.json`` lists.

    Raises:
        SgtError: neither exists, or the index names a file outside the folder.
    """
    single, index = folder / f"{name}.safetensors", folder / f"{name}.safetensors.index.json"
    if single.is_file():
        return [single]
    if not index.is_file():
        raise SgtError(single, "no such file", "point at a folder in the official layout")
    parts = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    for part in parts:
        if Path(part).name != part:
            raise SgtError(index, f"names {part!r}, outside the folder", "fetch the checkpoint again")
    return [folder / part for part in parts]


def load_weights(module: nn.Module, files: list[Path], dtype: torch.dtype) -> None:
    """Give every parameter of ``module`` the tensor of its name, cast to ``dtype``.

    Raises:
        SgtError: tensors are missing, unexpected or misshapen; the first of each kind is named.
    """
    expected = {name: parameter.shape for name, parameter in module.named_parameters()}
    seen: set[str] = set()
    for name, path, tensor in _tensors(files):
        if name not in expected:
            raise SgtError(f"{path}: {name}", "unexpected tensor", "is this the right model and config?")
        if tensor.shape != expected[name]:
            raise SgtError(
                f"{path}: {name}",
                f"shape {list(tensor.shape)}, config wants {list(expected[name])}",
                "use the configuration files of this checkpoint",
            )
        owner, _, leaf = name.rpartition(".")
        holder = module.get_submodule(owner)
        trainable = getattr(holder, leaf).requires_grad
        setattr(holder, leaf, nn.Parameter(tensor.to(dtype), requires_grad=trainable))
        seen.add(name)
    missing = [name for name in expected if name not in seen]
    if missing:
        raise SgtError(files[0], f"{len(missing)} tensors missing, e.g. {missing[0]}", "fetch the checkpoint again")


def _tensors(files: list[Path]) -> Iterator[tuple[str, Path, Tensor]]:
    for path in files:
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 (safe_open is not a mapping)
                    yield name, path, file.get_tensor(name)
        except (OSError, SafetensorError) as error:
            raise SgtError(path, f"cannot be read ({error})", "fetch the file again") from None
