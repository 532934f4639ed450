"""How many requests a model works through at once: as many as memory allows, with the same results."""

import gc
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

# Tokens, with padding, of the first batch that is tried. On the CPU larger ones are no faster; on CUDA, the keys and
# values of so many tokens of a 7B model fill 60 GB.
FIRST_TRY = {"cpu": 2**16, "cuda": 2**20}


class BatchSizes:
    """Finds batch sizes by trying, and remembers what did not fit.

    Attributes:
        limits: kind of work → tokens, with padding, of a batch.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.limits: dict[str, int] = {}

    def run(
        self,
        kind: str,
        work: Callable[[Sequence[Item]], Sequence[Result]],
        items: Sequence[Item],
        tokens: Sequence[int],
    ) -> list[Result]:
        """The results of all items, worked through batch by batch in their order.

        A batch that runs out of memory on CUDA is tried again with half as many tokens, as are all later ones.

        Args:
            kind: of work: its batches need memory in proportion to their tokens.
            work: of a batch; gives a result per item, which does not depend on the others.
            items: of work.
            tokens: of each item; a batch has its longest item's times its number of items.

        Raises:
            torch.OutOfMemoryError: a single item does not fit.
        """
        results: list[Result] = []
        while len(results) < len(items):
            limit = self.limits.get(kind, FIRST_TRY[self.device.type])
            start = len(results)
            count = _fitting(tokens[start:], limit)
            try:
                results += work(items[start : start + count])
                continue
            except torch.OutOfMemoryError:
                if count == 1:
                    raise
            # Outside the handler: the exception holds on to the tensors of the batch.
            gc.collect()
            torch.cuda.empty_cache()
            self.limits[kind] = count * max(tokens[start : start + count]) // 2
        return results


def _fitting(tokens: Sequence[int], limit: int) -> int:
    """How many of the first items have at most ``limit`` tokens with padding; at least one."""
    longest = tokens[0]
    for count, length in enumerate(tokens[1:], 1):
        longest = max(longest, length)
        if (count + 1) * longest > limit:
            return count
    return len(tokens)
