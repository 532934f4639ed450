"""Attention over one packed sequence by FlexAttention: blocks of queries and keys that may not meet are not computed.

The mask is the same for every head and layer, so it is built once per batch. It follows from the splits alone: which
blocks are empty, whole or mixed is worked out from the splits that lie in them, without a mask of tokens by tokens.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

BLOCK = 128


@dataclass(frozen=True)
class FlexLayout:
    """N packed tokens in a sequence of L places, the last L − N of which are padding.

    Attributes:
        token: int64 (N,), the packed token in each place.
        place: int64 (N,), the place of each packed token.
        mask: which of the L places may see which.
    """

    token: Tensor
    place: Tensor
    mask: BlockMask


def flex_layout(order: Tensor, sample_lens: list[int], split_lens: list[int], modes: list[str]) -> FlexLayout:
    """The layout of packed samples under the mask of :func:`sgt.models.attention.split_mask`.

    Args:
        order: int64 (N,), the place in the packed sequence of each token, in the order the model keeps them.
        sample_lens, split_lens, modes: see :func:`sgt.models.attention.split_mask`.
    """
    token = torch.empty_like(order)
    token[order] = torch.arange(len(order), device=order.device)
    return FlexLayout(token, order, block_mask(sample_lens, split_lens, modes, order.device))


def flex_attend(q: Tensor, k: Tensor, v: Tensor, layout: FlexLayout) -> Tensor:
    """Softmax attention of packed tokens: (N, H, D), twice (N, H_kv, D) → (N, H·D). Compiled on CUDA."""
    padding = layout.mask.seq_lengths[0] - len(layout.token)

    def placed(x: Tensor) -> Tensor:
        return F.pad(x.index_select(0, layout.token), (0, 0, 0, 0, 0, padding)).transpose(0, 1)[None]

    attention = compiled_attention() if q.is_cuda else flex_attention
    out = attention(placed(q), placed(k), placed(v), block_mask=layout.mask, enable_gqa=q.shape[1] != k.shape[1])
    return out[0].transpose(0, 1).flatten(1).index_select(0, layout.place)


@cache
def compiled_attention() -> Callable[..., Tensor]:
    """FlexAttention as one fused kernel; compiled once per padded length.

    Past the limit it would run unfused, with all scores in memory, so the limit is beyond what lengths there are.
    """
    return torch.compile(flex_attention, dynamic=False, recompile_limit=64)


def padded_length(tokens: int) -> int:
    """The length that a sequence is padded to: four lengths per doubling, so that few kernels are compiled.

    Padding costs little: a block of it is computed for itself alone.
    """
    step = max(BLOCK, 1 << max((tokens - 1).bit_length() - 3, 0))
    return -(-tokens // step) * step


def block_mask(
    sample_lens: Sequence[int], split_lens: Sequence[int], modes: Sequence[str], device: torch.device
) -> BlockMask:
    """The mask of packed samples, padded to :func:`padded_length`; padding sees itself alone.

    Args:
        sample_lens, split_lens, modes: see :func:`sgt.models.attention.split_mask`.
        device: where the mask is used.
    """
    length = padded_length(sum(sample_lens))
    padding = length - sum(split_lens)
    ends = torch.tensor(sample_lens).cumsum(0)
    split_ends = torch.tensor(split_lens).cumsum(0)
    sample_of_split = torch.searchsorted(ends, split_ends)
    hidden = torch.tensor([mode in ("noise", "aside") for mode in modes])
    whole = torch.tensor([mode in ("full", "noise") for mode in modes])

    # Every place of padding is a sample and a split of its own.
    split = torch.repeat_interleave(torch.arange(len(modes)), torch.tensor(split_lens))
    some, all_ = block_overlap(split, sample_of_split, hidden, whole, length)
    alone = -1 - torch.arange(padding)
    per_place = (
        torch.cat([sample_of_split[split], alone]),
        torch.cat([split, alone]),
        F.pad(hidden[split], (0, padding)),
        F.pad(whole[split], (0, padding)),
    )
    sample_at, split_at, hidden_at, whole_at = (values.to(device) for values in per_place)

    def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        same = split_at[query] == split_at[key]
        reached = (query >= key) | (same & whole_at[query])
        return (sample_at[query] == sample_at[key]) & reached & (same | ~hidden_at[key])

    mixed = _listed(some & ~all_, device)
    full = _listed(all_, device)
    return BlockMask.from_kv_blocks(*mixed, *full, BLOCK_SIZE=BLOCK, mask_mod=sees, seq_lengths=(length, length))


def block_overlap(split: Tensor, sample: Tensor, hidden: Tensor, whole: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Whether some, and whether all, queries of a block may see keys of another: bool (blocks, blocks), twice.

    Args:
        split: int64 (N,), the split of each token.
        sample, hidden, whole: per split, its sample, whether other splits do not see it, whether all of it sees all.
        length: N and padding.
    """
    blocks, splits = length // BLOCK, len(sample)
    inside = torch.zeros(blocks, splits)
    inside[torch.arange(len(split)) // BLOCK, split] = 1
    index = torch.arange(splits)
    earlier = (sample[:, None] == sample) & (index[:, None] > index) & ~hidden
    sees = earlier | torch.diag(whole)
    causal = torch.diag(~whole)
    row, column = torch.arange(blocks)[:, None], torch.arange(blocks)

    def between(pairs: Tensor) -> Tensor:
        return inside @ pairs.float() @ inside.T > 0

    # Of two blocks that share a causal split, the later sees all of it in the earlier, and the earlier nothing.
    some = between(sees) | (between(causal) & (row >= column))
    lacking = between(~sees & ~causal) | (between(causal) & (row <= column))
    padded = torch.arange(blocks) >= len(split) // BLOCK if len(split) < length else torch.zeros(blocks, dtype=bool)
    some |= torch.diag(padded)
    return some, some & ~lacking & ~padded & ~padded[:, None]


def _listed(blocks: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Per row of bool (rows, columns): how many are true, and the columns, true ones first, as a block mask has it."""
    columns = blocks.int().argsort(dim=1, descending=True, stable=True)
    return blocks.sum(1).int()[None, None].to(device), columns.int()[None, None].to(device)
