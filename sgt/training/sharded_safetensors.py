"""Tensors stored in several safetensors files, one per process that wrote them, each with consecutive rows."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor


class ShardedTensors:
    """The tensors of one group of files, read by name and rows.

    Args:
        files: in the order of the rows that they hold.
    """

    def __init__(self, files: list[safe_open]) -> None:
        self._files: dict[str, list[safe_open]] = {}
        for file in files:
            for name in file.keys():  # noqa: SIM118 (safe_open is not a mapping)
                self._files.setdefault(name, []).append(file)

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def whole(self, name: str) -> Tensor:
        """A tensor that is stored in one file."""
        return self._files[name][0].get_tensor(name)

    def rows(self, name: str, first: int, count: int) -> Tensor:
        """Rows ``first`` to ``first + count`` of a tensor, whichever files they are in."""
        found, start = [], 0
        for file in self._files[name]:
            rows = file.get_slice(name)
            length = rows.get_shape()[0]
            low, high = max(first - start, 0), min(first + count - start, length)
            if low < high:
                found.append(rows[low:high])
            start += length
        return torch.cat(found) if found else self._files[name][0].get_slice(name)[:0]


@contextmanager
def open_sharded(folder: Path, group: str) -> Iterator[ShardedTensors]:
    """Open the files of a group, in the order of the processes that wrote them."""
    with ExitStack() as stack:
        paths = sorted(folder.glob(f"{group}-*.safetensors"))
        yield ShardedTensors([stack.enter_context(safe_open(path, framework="pt")) for path in paths])


def shard_file(group: str, rank: int, size: int) -> str:
    """Name of the file of one process in a group."""
    return f"{group}-{rank:05d}-of-{size:05d}.safetensors"
