"""One attention for training and inference: packed tokens in, packed tokens out.

Tokens of all sequences lie one after another (no padding is computed by the linear layers). For the attention alone
they are laid out as a padded batch, with a mask that says what each query may see.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """Where each of N tokens sits in a padded batch of B rows, and what it may attend to.

    Attributes:
        rows, width: B and L of the padded batch.
        slot: int64 (N,), the place of each token in the flattened (B·L) batch.
        token: int64 (B·L,), the token in each place; padding points at some token and is never seen.
        mask: bool (B, 1, L, K), true where a query may attend a key; the last L of the K keys are these tokens,
            the first K − L a cache. None if every query sees every key.
    """

    rows: int
    width: int
    slot: Tensor
    token: Tensor
    mask: Tensor | None

    def pad(self, x: Tensor) -> Tensor:
        """(N, H, D) → (B, H, L, D)."""
        return x.index_select(0, self.token).view(self.rows, self.width, *x.shape[1:]).transpose(1, 2)

    def unpad(self, x: Tensor) -> Tensor:
        """(B, H, L, D) → (N, H·D)."""
        return x.transpose(1, 2).reshape(self.rows * self.width, -1).index_select(0, self.slot)


def place(row: Tensor, column: Tensor, rows: int, width: int) -> tuple[Tensor, Tensor]:
    """``slot`` and ``token`` of tokens at (row, column) of a (rows, width) batch; all int64 (N,)."""
    slot = row * width + column
    token = torch.zeros(rows * width, dtype=torch.int64, device=slot.device)
    token[slot] = torch.arange(len(slot), device=slot.device)
    return slot, token


def block_layout(lengths: list[int], device: torch.device | None = None) -> Layout:
    """Sequences of these lengths, each attending to all of itself and nothing else."""
    rows, width = len(lengths), max(lengths)
    column = torch.cat([torch.arange(length) for length in lengths])
    row = torch.repeat_interleave(torch.arange(rows), torch.tensor(lengths))
    slot, token = place(row, column, rows, width)
    if min(lengths) == width:
        mask = None
    else:
        mask = (torch.arange(width) < torch.tensor(lengths)[:, None])[:, None, None].expand(-1, 1, width, -1).to(device)
    return Layout(rows, width, slot.to(device), token.to(device), mask)


def split_mask(sample_lens: list[int], split_lens: list[int], modes: list[str]) -> Tensor:
    """BAGEL's mask of packed samples, one padded row per sample (``bagel.md`` 4).

    Query i may attend key j iff j ≤ i or both are in one full or noise split, and j is not in a noise split other
    than i's. Padding queries see the first token alone, so that their softmax is defined.

    Args:
        sample_lens: tokens per sample.
        split_lens: tokens per split, over all samples in order.
        modes: ``causal``, ``full`` or ``noise`` per split.

    Returns:
        bool (samples, longest, longest).
    """
    width = max(sample_lens)
    split = torch.repeat_interleave(torch.arange(len(split_lens)), torch.tensor(split_lens))
    noise = torch.tensor([mode == "noise" for mode in modes])[split]
    whole = torch.tensor([mode != "causal" for mode in modes])[split]
    filled = torch.arange(width) < torch.tensor(sample_lens)[:, None]

    def padded(values: Tensor, padding: int) -> Tensor:
        return torch.full(filled.shape, padding, dtype=values.dtype).masked_scatter_(filled, values)

    split, noise, whole = padded(split, -1), padded(noise, False), padded(whole, False)
    same = split[:, :, None] == split[:, None, :]
    causal = torch.arange(width)[:, None] >= torch.arange(width)
    mask = (causal | (same & whole[:, :, None])) & (same | ~noise[:, None, :])
    mask &= filled[:, None, :]
    mask[:, :, 0] |= ~filled
    return mask


class KVCache:
    """Keys and values that one layer has seen, each (B, H_kv, C, D)."""

    def __init__(self, keys: Tensor | None = None, values: Tensor | None = None) -> None:
        self.keys, self.values = keys, values
        self.frozen = False

    def join(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Everything seen followed by ``k`` and ``v``, which are remembered unless the cache is frozen."""
        if self.keys is not None:
            k, v = torch.cat([self.keys, k], dim=2), torch.cat([self.values, v], dim=2)
        if not self.frozen:
            self.keys, self.values = k, v
        return k, v


def attend(q: Tensor, k: Tensor, v: Tensor, layout: Layout, cache: KVCache | None = None) -> Tensor:
    """Softmax attention of packed tokens.

    Args:
        q: (N, H, D). k, v: (N, H_kv, D); each key-value head serves H / H_kv query heads.
        layout: the padded batch and its mask.
        cache: what earlier tokens left behind; the layout's mask covers it.

    Returns:
        (N, H·D).
    """
    q, k, v = layout.pad(q), layout.pad(k), layout.pad(v)
    if cache is not None:
        k, v = cache.join(k, v)
    groups = q.shape[1] // k.shape[1]
    if groups > 1:
        k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
    return layout.unpad(F.scaled_dot_product_attention(q, k, v, attn_mask=layout.mask))
