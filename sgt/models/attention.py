"""One attention for training and inference: packed tokens in, packed tokens out.

Tokens of all sequences lie one after another (no padding is computed by the linear layers). For the attention alone
they are rearranged: packed training batches on CUDA as one sequence for FlexAttention, everything else as padded
batches with a mask of the keys that each query attends to.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sgt.models.flex import FlexLayout, flex_attend, flex_layout


@dataclass(frozen=True)
class Block:
    """Some of the sequences as a padded batch of B rows of L places.

    Attributes:
        rows, width: B and L.
        token: int64 (B·L,), the packed token in each place; padding points at some token and is never attended to.
        mask: bool (B, 1, L, K), true where a query may attend a key; the last L of the K keys are these tokens,
            the first K − L a cache. None if every query attends to every key.
        kinds: uint8 (B, K), what each key is, if that is known; see :mod:`sgt.models.vision_reads`.
    """

    rows: int
    width: int
    token: Tensor
    mask: Tensor | None
    kinds: Tensor | None = None

    def pad(self, x: Tensor) -> Tensor:
        """Packed (N, H, D) → (B, H, L, D)."""
        return x.index_select(0, self.token).view(self.rows, self.width, *x.shape[1:]).transpose(1, 2)


@dataclass(frozen=True)
class Layout:
    """Where each of N packed tokens sits in the padded batches.

    Attributes:
        blocks: sequences of similar length share one, so that little is computed on padding.
        slot: int64 (N,), the place of each token in all the blocks' places, one block after another.
    """

    blocks: list[Block]
    slot: Tensor


def make_layout(
    row: Tensor, column: Tensor, lengths: list[int], mask: Tensor | None, kinds: Tensor | None = None
) -> Layout:
    """One block of all sequences.

    Args:
        row, column: int64 (N,), the sequence of each packed token and its place in it.
        lengths: tokens per sequence.
        mask, kinds: see :class:`Block`.
    """
    rows, width = len(lengths), max(lengths, default=1)
    slot = row * width + column
    token = torch.zeros(rows * width, dtype=torch.int64, device=slot.device)
    token[slot] = torch.arange(len(slot), device=slot.device)
    return Layout([Block(rows, width, token, mask, kinds)], slot)


def full_layout(lengths: list[int], device: torch.device) -> Layout:
    """Sequences of these lengths one after another, each attending to all of itself and nothing else."""
    row, column = (values.to(device) for values in grid(lengths))

    def mask(rows: list[int], width: int) -> Tensor | None:
        counts = torch.tensor([lengths[index] for index in rows])
        if (counts == width).all():
            return None
        filled = torch.arange(width) < counts[:, None]
        return filled[:, None, None].expand(-1, 1, width, -1).to(device)

    return _grouped_layout(row, column, lengths, mask)


def grid(lengths: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Row and column of each token of sequences that follow one another, int64 (N,)."""
    counts = torch.tensor(lengths, dtype=torch.int64)
    row = torch.repeat_interleave(torch.arange(len(counts)), counts)
    starts = torch.cumsum(counts, 0) - counts
    return row, torch.arange(len(row)) - starts[row]


def packed_layout(
    order: Tensor, sample_lens: list[int], split_lens: list[int], modes: list[str]
) -> Layout | FlexLayout:
    """The layout of packed samples under BAGEL's mask, in the form that suits the device.

    Args:
        order: int64 (N,), the place in the packed sequence of each token, in the order the model keeps them.
        sample_lens, split_lens, modes: see :func:`split_mask`.
    """
    form = flex_layout if order.is_cuda else dense_layout
    return form(order, sample_lens, split_lens, modes)


def dense_layout(order: Tensor, sample_lens: list[int], split_lens: list[int], modes: list[str]) -> Layout:
    """The padded batches of packed samples; see :func:`packed_layout`."""
    device = order.device
    row, column = (values.to(device)[order] for values in grid(sample_lens))
    mask = split_mask(sample_lens, split_lens, modes).to(device)
    return _grouped_layout(row, column, sample_lens, lambda rows, width: mask[rows, None, :width, :width])


def _grouped_layout(
    row: Tensor, column: Tensor, lengths: list[int], mask: Callable[[list[int], int], Tensor | None]
) -> Layout:
    """Sequences of similar length share a block.

    Args:
        row, column, lengths: see :func:`make_layout`.
        mask: of some sequences, padded to a width.
    """
    slot, blocks, places = torch.empty_like(row), [], 0
    for rows in _alike(lengths):
        mine = torch.isin(row, torch.tensor(rows, device=row.device)).nonzero()[:, 0]
        rank = torch.zeros(len(lengths), dtype=torch.int64, device=row.device)
        rank[rows] = torch.arange(len(rows), device=row.device)
        width = max(lengths[index] for index in rows)
        part = make_layout(rank[row[mine]], column[mine], [lengths[index] for index in rows], None)
        slot[mine] = part.slot + places
        places += len(rows) * width
        blocks.append(Block(len(rows), width, mine[part.blocks[0].token], mask(rows, width)))
    return Layout(blocks, slot)


def _alike(lengths: list[int]) -> list[list[int]]:
    """Sequences grouped so that the longest of a group is at most half as long again as its shortest."""
    groups: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if not groups or lengths[index] > 1.5 * lengths[groups[-1][0]]:
            groups.append([])
        groups[-1].append(index)
    return groups


def split_mask(sample_lens: list[int], split_lens: list[int], modes: list[str]) -> Tensor:
    """BAGEL's mask of packed samples, one padded row per sample (``bagel.md`` 4).

    Query i may attend key j iff j ≤ i or both are in one full or noise split, and j is not in a noise or aside split
    other than i's. Asides, which are ours, let texts share what is before them without attending to one another.
    Padding queries attend to the first token alone, so that their softmax is defined.

    Args:
        sample_lens: tokens per sample.
        split_lens: tokens per split, over all samples in order.
        modes: ``causal``, ``full``, ``noise`` or ``aside`` per split.

    Returns:
        bool (samples, longest, longest).
    """
    width = max(sample_lens)
    split = torch.repeat_interleave(torch.arange(len(split_lens)), torch.tensor(split_lens))
    hidden = torch.tensor([mode in ("noise", "aside") for mode in modes])[split]
    whole = torch.tensor([mode in ("full", "noise") for mode in modes])[split]
    filled = torch.arange(width) < torch.tensor(sample_lens)[:, None]

    def padded(values: Tensor, padding: int) -> Tensor:
        return torch.full(filled.shape, padding, dtype=values.dtype).masked_scatter_(filled, values)

    split, hidden, whole = padded(split, -1), padded(hidden, False), padded(whole, False)
    same = split[:, :, None] == split[:, None, :]
    causal = torch.arange(width)[:, None] >= torch.arange(width)
    mask = (causal | (same & whole[:, :, None])) & (same | ~hidden[:, None, :])
    mask &= filled[:, None, :]
    mask[:, :, 0] |= ~filled
    return mask


class KVCache:
    """Keys and values of one layer's earlier tokens, each (B, H_kv, C, D)."""

    def __init__(self, keys: Tensor | None = None, values: Tensor | None = None) -> None:
        self.keys, self.values = keys, values
        self.frozen = False

    def join(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """The cached keys and values followed by ``k`` and ``v``, which are added unless the cache is frozen."""
        if self.keys is not None and self.values is not None:
            k, v = torch.cat([self.keys, k], dim=2), torch.cat([self.values, v], dim=2)
        if not self.frozen:
            self.keys, self.values = k, v
        return k, v


def attend(q: Tensor, k: Tensor, v: Tensor, layout: Layout | FlexLayout, cache: KVCache | None = None) -> Tensor:
    """Softmax attention of packed tokens.

    Args:
        q: (N, H, D). k, v: (N, H_kv, D); each key-value head serves H / H_kv query heads.
        layout: where the tokens sit, and which attend to which.
        cache: keys and values of earlier tokens, for layouts of one block, whose mask covers it.

    Returns:
        (N, H·D).
    """
    if isinstance(layout, FlexLayout):
        return flex_attend(q, k, v, layout)
    if not layout.blocks:
        # No tokens. Weights must still get a gradient, of zero: processes agree on which have one.
        return q.flatten(1) + 0 * (k.sum() + v.sum())
    mixed = []
    for block in layout.blocks:
        query, key, value = block.pad(q), block.pad(k), block.pad(v)
        if cache is not None:
            key, value = cache.join(key, value)
        out = dense_attention(query, key, value, block.mask)
        mixed.append(out.transpose(1, 2).flatten(2).flatten(0, 1))
    return torch.cat(mixed).index_select(0, layout.slot)


def dense_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """(B, H, L, D), twice (B, H_kv, K, D) and bool (B, 1, L, K) → (B, H, L, D); heads of a group share keys."""
    groups = query.shape[1] // key.shape[1]
    if query.is_cuda and groups > 1:
        return folded_attention(query, key, value, mask)
    key, value = (x.repeat_interleave(groups, dim=1) if groups > 1 else x for x in (key, value))
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)


def folded_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """The same, with the heads of a group as further queries of one head.

    The fused kernels of CUDA take grouped heads or a mask, not both, and repeated keys would be read many times over.
    """
    groups = query.shape[1] // key.shape[1]
    folded = query.unflatten(1, (-1, groups)).flatten(2, 3)
    mask = mask if mask is None else mask.repeat(1, 1, groups, 1)
    out = F.scaled_dot_product_attention(folded, key, value, attn_mask=mask)
    return out.unflatten(2, (groups, -1)).flatten(1, 2)
