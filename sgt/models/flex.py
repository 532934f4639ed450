"""Attention over one packed sequence by FlexAttention: blocks whose queries attend to none of their keys are skipped.

The mask is the same for every head and layer, so it is built once per batch. It follows from the splits alone: which
blocks are empty, full or mixed is computed from the splits that lie in them, without a mask of tokens by tokens.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

BLOCK = 128
# Padded lengths that may be compiled in one process.
KERNELS = 64


@dataclass(frozen=True)
class FlexLayout:
    """N packed tokens in a sequence of L places, the last L − N of which are padding.

    Attributes:
        token: int64 (N,), the packed token in each place.
        place: int64 (N,), the place of each packed token.
        mask: which of the L places attend to which.
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

    attention: Callable[..., Tensor] = flex_attention
    if q.is_cuda:
        attention = compiled_attention()
    out = attention(placed(q), placed(k), placed(v), block_mask=layout.mask, enable_gqa=q.shape[1] != k.shape[1])
    return out[0].transpose(0, 1).flatten(1).index_select(0, layout.place)


@cache
def compiled_attention() -> Callable[..., Tensor]:
    """FlexAttention as one fused kernel; compiled once per padded length.

    Past the limit it would run unfused, with all scores in memory, so the limit is beyond what lengths there are.
    """
    # Set here, not as an argument: torch.compile has had one for it since torch 2.13 alone.
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, KERNELS)
    return torch.compile(flex_attention, dynamic=False)


def padded_length(tokens: int) -> int:
    """The length that a sequence is padded to: four lengths per doubling, so that few kernels are compiled.

    Padding costs little: a block of it is computed for itself alone.
    """
    step = max(BLOCK, 1 << max((tokens - 1).bit_length() - 3, 0))
    return -(-tokens // step) * step


def block_mask(
    sample_lens: Sequence[int], split_lens: Sequence[int], modes: Sequence[str], device: torch.device
) -> BlockMask:
    """The mask of packed samples, padded to :func:`padded_length`; a place of padding attends to itself alone.

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
    some, every = block_overlap(split, sample_of_split, hidden, whole, length)
    alone = -1 - torch.arange(padding)
    per_place = (
        torch.cat([sample_of_split[split], alone]),
        torch.cat([split, alone]),
        F.pad(hidden[split], (0, padding)),
        F.pad(whole[split], (0, padding)),
    )
    sample_at, split_at, hidden_at, whole_at = (values.to(device) for values in per_place)

    def attends(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        same = split_at[query] == split_at[key]
        reached = (query >= key) | (same & whole_at[query])
        return (sample_at[query] == sample_at[key]) & reached & (same | ~hidden_at[key])

    mixed = _listed(some & ~every, device)
    full = _listed(every, device)
    return BlockMask.from_kv_blocks(*mixed, *full, BLOCK_SIZE=BLOCK, mask_mod=attends, seq_lengths=(length, length))


def block_overlap(split: Tensor, sample: Tensor, hidden: Tensor, whole: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Which blocks of queries attend to some, and which to all, keys of a block: bool (blocks, blocks), twice.

    The queries of one split attend to all keys of another, to none, or, within a causal split, to those up to their
    own place. Two blocks that hold tokens of the same causal split therefore stand to each other as these do, where
    ``a`` is a causal split over three blocks and ``x`` is what a query attends to::

        keys      a a  a a  a a
        queries a x .  . .  . .      the query block is earlier: nothing
                a x x  . .  . .      the same block:             a part
                a x x  x .  . .
                a x x  x x  . .
                a x x  x x  x .      the query block is later:   everything
                a x x  x x  x x

    Every other pair of splits is the same wherever the blocks' borders lie.

    Args:
        split: int64 (N,), the split of each token.
        sample, hidden, whole: per split, its sample, whether no other split attends to it, whether its own queries
            attend to all of it.
        length: N and padding.
    """
    blocks, splits = length // BLOCK, len(sample)
    holds = torch.zeros(blocks, splits)
    holds[torch.arange(len(split)) // BLOCK, split] = 1
    index = torch.arange(splits)
    attends = ((sample[:, None] == sample) & (index[:, None] > index) & ~hidden) | torch.diag(whole)
    is_causal = torch.diag(~whole)

    def any_pair(pairs: Tensor) -> Tensor:
        """Whether a query block and a key block hold any of these pairs of splits (query's, key's)."""
        return holds @ pairs.float() @ holds.T > 0

    query_block, key_block = torch.arange(blocks)[:, None], torch.arange(blocks)
    share_causal = any_pair(is_causal)
    some = any_pair(attends) | (share_causal & (query_block >= key_block))
    not_all = any_pair(~attends & ~is_causal) | (share_causal & (query_block <= key_block))

    # A place of padding attends to itself alone: to some of its block.
    padded = (torch.arange(blocks) + 1) * BLOCK > len(split)
    some |= torch.diag(padded)
    return some, some & ~not_all & ~padded & ~padded[:, None]


def _listed(blocks: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Per row of bool (rows, columns): how many are true, and the columns, true ones first, as a block mask has it."""
    columns = blocks.int().argsort(dim=1, descending=True, stable=True)
    return blocks.sum(1).int()[None, None].to(device), columns.int()[None, None].to(device)
