"""Reading safetensors into a module that was built on the meta device: one copy of the weights in memory, no more."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from torch.overrides import TorchFunctionMode

from sgt.errors import SgtError
from sgt.json_files import json_fields

# A file is mapped again after so many bytes: pages of a mapping count as memory until it is closed.
MAPPED_BYTES = 256 * 2**20
NAMED = 3
# As safetensors names them. Smaller numbers mean nothing without the scales they belong to.
FLOATING = ("F16", "BF16", "F32", "F64")


@dataclass(frozen=True)
class Stored:
    """A tensor in a file, under its name there; ``dtype`` as safetensors names it (``BF16``, ``I8``)."""

    path: Path
    name: str
    shape: torch.Size
    dtype: str

    @property
    def size(self) -> int:
        """Bytes, at most: files hold numbers of four bytes or fewer."""
        return 4 * self.shape.numel()


class _NoInitialisation(TorchFunctionMode):
    """The functions of ``torch.nn.init`` return their tensor as it is."""

    def __torch_function__(
        self, func: Callable, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == nn.init.__name__:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


@contextmanager
def without_weights() -> Iterator[None]:
    """Modules made here have parameters on the meta device: shapes and dtypes without numbers.

    They are not initialised either: on the meta device that would change nothing, but import ``torch._dynamo``, which
    takes more than a second.
    """
    with torch.device("meta"), _NoInitialisation():
        yield


def weight_files(folder: Path, name: str) -> list[Path]:
    """The file ``NAME.safetensors``, or the parts that ``NAME.safetensors.index.json`` lists.

    Raises:
        SgtError: neither exists, or the index is damaged or names a file outside the folder.
    """
    single, index = folder / f"{name}.safetensors", folder / f"{name}.safetensors.index.json"
    if single.is_file():
        return [single]
    if not index.is_file():
        raise SgtError(single, "no such file", "point at a folder in the official layout")
    with json_fields(index, "an index of weights", "fetch the checkpoint again") as content:
        parts = sorted(set(content["weight_map"].values()))
    for part in parts:
        if not isinstance(part, str) or Path(part).name != part:
            raise SgtError(index, f"names {part!r}, outside the folder", "fetch the checkpoint again")
    return [folder / part for part in parts]


def stored_tensors(files: Sequence[Path], rename: Callable[[str], str] = str) -> dict[str, Stored]:
    """The tensors of some files by name, from their headers alone; of equal names the last file's counts.

    Args:
        files: in order.
        rename: gives the parameter's name, from that in the file.

    Raises:
        SgtError: a file is missing or damaged.
    """
    found = {}
    for path in files:
        with _opened(path, "cpu") as file:
            for name in file.keys():  # noqa: SIM118 (safe_open is not a mapping)
                part = file.get_slice(name)
                found[rename(name)] = Stored(path, name, torch.Size(part.get_shape()), part.get_dtype())
    return found


def load_weights(
    module: nn.Module,
    files: Sequence[Path],
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
    overlay: Sequence[Path] = (),
    computed: Collection[str] = (),
    rename: Callable[[str], str] = str,
    unread: Collection[str] = (),
) -> None:
    """Give every parameter of ``module`` the tensor of its name.

    Names and shapes are compared before anything is read; a 1x1 convolution may be stored as a matrix. The memory
    needed is that of the parameters and ``MAPPED_BYTES`` more.

    Args:
        module: on the meta device; whether a parameter needs a gradient stays as it is.
        files: of the base weights.
        dtype, device: of the parameters.
        overlay: files whose tensors replace the base's of the same name.
        computed: names of parameters that are computed, not read: they may be absent, and are allocated.
        rename: gives the parameter's name, from that in the file.
        unread: names of parameters that files may hold and nothing here has.

    Raises:
        SgtError: tensors are missing, unexpected, misshapen or quantised; they are named.
    """
    stored = {name: at for name, at in stored_tensors([*files, *overlay], rename).items() if name not in unread}
    expected = {name: parameter.shape for name, parameter in module.named_parameters()}
    _compare(expected, stored, set(computed), files[0])
    _see_floating([stored[name] for name in expected if name not in computed])
    for name in computed:
        _assign(module, name, torch.empty(expected[name], dtype=dtype, device=device))
    by_path = defaultdict(list)
    for name in expected:
        if name not in computed:
            by_path[stored[name].path].append(name)
    for path, names in by_path.items():
        for batch in _batches(names, stored):
            with _opened(path, device) as file:
                for name in batch:
                    value = file.get_tensor(stored[name].name).to(dtype, copy=True)
                    _assign(module, name, value.view(expected[name]))


def _compare(expected: dict[str, torch.Size], stored: dict[str, Stored], computed: set[str], where: Path) -> None:
    missing = [name for name in expected if name not in stored and name not in computed]
    unexpected = [f"{name} in {stored[name].path.name}" for name in stored if name not in expected]
    misshapen = [
        f"{name} is {list(stored[name].shape)} in {stored[name].path.name}, config wants {list(shape)}"
        for name, shape in expected.items()
        if name in stored and name not in computed and not _fits(stored[name].shape, shape)
    ]
    problems = [
        f"{len(names)} {what} ({', '.join(names[:NAMED])}{', …' if len(names) > NAMED else ''})"
        for what, names in (("missing", missing), ("unexpected", unexpected), ("misshapen", misshapen))
        if names
    ]
    if problems:
        raise SgtError(
            where, f"tensors: {'; '.join(problems)}", "use the weights and the configuration of one checkpoint"
        )


def _see_floating(tensors: Sequence[Stored]) -> None:
    for stored in tensors:
        if stored.dtype not in FLOATING:
            problem = f"tensor {stored.name} holds {stored.dtype}, not {', '.join(FLOATING)}"
            raise SgtError(stored.path, problem, "use weights that are not quantised")


def _fits(stored: torch.Size, expected: torch.Size) -> bool:
    return stored == expected or (*stored, 1, 1) == tuple(expected)


def _batches(names: list[str], stored: dict[str, Stored]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for name in names:
        if batch and size + stored[name].size > MAPPED_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(name)
        size += stored[name].size
    if batch:
        yield batch


def _assign(module: nn.Module, name: str, value: torch.Tensor) -> None:
    owner, _, leaf = name.rpartition(".")
    holder = module.get_submodule(owner)
    setattr(holder, leaf, nn.Parameter(value, requires_grad=getattr(holder, leaf).requires_grad))


def _opened(path: Path, device: torch.device | str) -> safe_open:
    try:
        return safe_open(path, framework="pt", device=str(device))
    except FileNotFoundError:
        raise SgtError(path, "no such file", "fetch the checkpoint again") from None
    except (OSError, SafetensorError) as error:
        raise SgtError(path, f"cannot be read ({error})", "fetch the file again") from None
