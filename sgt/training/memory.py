"""Memory that a process has used, and a one-line error when there is not enough."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from sgt.errors import SgtError


def peak_memory(device: torch.device) -> int:
    """Peak memory so far, bytes: of the device on CUDA, else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@contextmanager
def report_out_of_memory(where: Path) -> Iterator[None]:
    """Turn a failed allocation into an error of one line.

    Raises:
        SgtError: memory ran out.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise _out_of_memory(where, error) from None
    except RuntimeError as error:
        # The CPU allocator has no exception class of its own.
        if "DefaultCPUAllocator" not in str(error):
            raise
        raise _out_of_memory(where, error) from None


def _out_of_memory(where: Path, error: Exception) -> SgtError:
    first = str(error).strip().splitlines()[0] if str(error) else "no memory left"
    remedy = (
        "lower recipe.max_tokens_per_pack, set recipe.activation_checkpointing or recipe.lora, or use more devices"
        " (see `sgt check`)"
    )
    return SgtError(where, f"out of memory ({first[:160]})", f"{remedy}; what was saved is intact")
