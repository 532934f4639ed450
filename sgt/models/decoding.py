"""Saying something after what has been read, and how likely that is: the same for every family."""

import hashlib
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor


class Reader(Protocol):
    """Rows of text and images that a language model has read, and that can be read on.

    Attributes:
        rows: how many.
        position: int64 (rows,), the place of the next token of each row.
        limit: how many places the model has.
        device: of what it gives.
    """

    rows: int
    position: Tensor
    limit: int
    device: torch.device

    def read(self, ids: Sequence[Sequence[int]]) -> Tensor:
        """Append token ids, one sequence per row; returns (tokens, vocabulary) logits, row by row."""


def seeded(seed: int, text: str) -> torch.Generator:
    """A generator that depends on a seed and a text alone: not on the batch, rank or device."""
    digest = hashlib.sha256(f"{seed}\n{text}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def continuations(
    context: Reader,
    first: int,
    stop: int,
    max_new_tokens: int,
    temperature: float = 0.0,
    draws: Sequence[torch.Generator] = (),
    reserve: int = 0,
) -> list[list[int]]:
    """Continuation of each row, cut off where the row has no place left; the context grows by it.

    A row that has ended is read on with the others, so that their numbers do not depend on when it ended; what the
    context then holds of it means nothing.

    Args:
        context: what has been read.
        first: token id after which every continuation begins; it is read, not said.
        stop: token id that ends a continuation; it is not said.
        max_new_tokens: at most so many per row.
        temperature: 0 takes the most likely token, else tokens are drawn from softmax(logits / temperature).
        draws: a generator per row, on the CPU, for a temperature above 0.
        reserve: places of each row that are left free.
    """
    tokens = torch.full((context.rows,), first, device=context.device)
    finished = torch.zeros(context.rows, dtype=torch.bool, device=context.device)
    said: list[list[int]] = [[] for _ in range(context.rows)]
    for _ in range(max_new_tokens):
        finished |= context.position >= context.limit - reserve
        if finished.all():
            break
        # At the first place there is always room.
        context.position = context.position.masked_fill(finished, 0)
        logits = context.read(tokens[:, None].tolist()).float()
        if temperature > 0:
            # The largest of logits plus Gumbel noise is a draw from their softmax.
            uniform = torch.stack([torch.rand(logits.shape[1], generator=row) for row in draws]).to(logits.device)
            logits = logits / temperature - torch.log(-torch.log(uniform.clamp_min(1e-20)))
        tokens = logits.argmax(-1)
        finished |= tokens == stop
        for row, token in enumerate(tokens.tolist()):
            if not finished[row]:
                said[row].append(token)
    return said


def continuation_log_probability(context: Reader, first: int, stop: int, texts: Sequence[Sequence[int]]) -> list[float]:
    """Log-probability (nats) that each row, after ``first``, goes on with its text and then stops."""
    fed = [[first, *text] for text in texts]
    wanted = [token for text in texts for token in (*text, stop)]
    logits = context.read(fed).float().log_softmax(-1)
    each = logits[torch.arange(len(wanted)), torch.tensor(wanted, device=logits.device)]
    return [float(part.sum()) for part in each.split([len(row) for row in fed])]
