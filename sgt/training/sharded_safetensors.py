"""Tensors that lie in several safetensors files, each a run of rows per file, one file per process that wrote them."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor


class Parts:
    """The tensors of one group of files, each a run of rows per file."""

    def __init__(self, files: list[safe_open]) -> None:
        self._files = files
        self._holders: dict[str, list[safe_open]] = {}
        for file in files:
            for name in file.keys():  # noqa: SIM118 (safe_open is not a mapping)
                self._holders.setdefault(name, []).append(file)

    def __contains__(self, name: str) -> bool:
        return name in self._holders

    def all(self, name: str) -> Tensor:
        """A tensor that one file holds."""
        return self._holders[name][0].get_tensor(name)

    def rows(self, name: str, first: int, count: int) -> Tensor:
        """Rows ``first`` to ``first + count`` of a tensor."""
        found, start = [], 0
        for file in self._holders[name]:
            part = file.get_slice(name)
            length = part.get_shape()[0]
            low, high = max(first - start, 0), min(first + count - start, length)
            if low < high:
                found.append(part[low:high])
            start += length
        return torch.cat(found) if found else self._holders[name][0].get_slice(name)[:0]


@contextmanager
def opened(folder: Path, group: str) -> Iterator[Parts]:
    """The files of a group, in the order of the processes that wrote them."""
    with ExitStack() as stack:
        paths = sorted(folder.glob(f"{group}-*.safetensors"))
        yield Parts([stack.enter_context(safe_open(path, framework="pt")) for path in paths])


def part_name(group: str, rank: int, size: int) -> str:
    """File of one process's part of a group."""
    return f"{group}-{rank:05d}-of-{size:05d}.safetensors"
