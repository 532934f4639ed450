"""Time to compute the block mask of a pack: from its splits, and as baseline from the mask of all pairs of tokens.

Run from the repository root as ``python -m perf.block_mask [TOKENS …]``.
"""

import sys
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch.nn.attention.flex_attention import create_block_mask

from sgt.models.flex import block_mask

Made = TypeVar("Made")
# Splits of a proxy sample with a 224-pixel input and a 512-pixel target, and of two turns about a 980-pixel image.
PROXY = [(258, "full"), (42, "causal"), (1026, "noise")]
QUESTIONS = [(4902, "full"), (40, "causal"), (60, "causal")]


def main(words: Sequence[str] | None = None) -> None:
    """Print times and their ratio for packs of about each number of tokens."""
    words = sys.argv[1:] if words is None else words
    for tokens in [int(word) for word in words] or [8192, 16384]:
        samples, length = [], 0
        while length < tokens:
            samples.append(QUESTIONS if len(samples) % 5 == 4 else PROXY)
            length += sum(count for count, _ in samples[-1])
        splits = [split for sample in samples for split in sample]
        packed = [sum(count for count, _ in sample) for sample in samples], *map(list, zip(*splits, strict=True))
        ours, mask = timed(lambda packed=packed: block_mask(*packed, torch.device("cpu")))
        sizes = mask.seq_lengths
        theirs, _ = timed(
            lambda mask=mask, sizes=sizes: create_block_mask(mask.mask_mod, None, None, *sizes, device="cpu")
        )
        print(
            f"{length} tokens, {len(splits)} splits: {ours * 1e3:.1f} ms from splits, {theirs * 1e3:.0f} ms from"
            f" tokens, ratio {theirs / ours:.0f}; {mask.sparsity():.0f}% of blocks are empty"
        )


def timed(make: Callable[[], Made]) -> tuple[float, Made]:
    """Seconds of the faster of two calls, and the result."""
    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        made = make()
        seconds.append(time.perf_counter() - began)
    return min(seconds), made


if __name__ == "__main__":
    main()
