"""Growing a vocabulary: rows for the special tokens that a released checkpoint lacks."""

from collections.abc import Iterable

import torch
from torch import nn


def grow_rows(modules: Iterable[nn.Embedding | nn.Linear], rows: int) -> None:
    """Give the weight of each module (an embedding or a head) at least ``rows`` rows; a new row is the mean of the old.

    Args:
        modules: with weights (vocabulary, width), which are replaced by longer ones of the same dtype.
        rows: size of the vocabulary at least.
    """
    for module in modules:
        old = module.weight
        if rows > len(old):
            added = old.detach().float().mean(0).to(old.dtype).expand(rows - len(old), -1)
            module.weight = nn.Parameter(torch.cat([old.detach(), added]), requires_grad=old.requires_grad)
