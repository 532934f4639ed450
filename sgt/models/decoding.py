"""Generating text after a context, and its log-probability: the same for every family."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from tokenizers import Tokenizer
from torch import Tensor

from sgt.models.interface import Decoding, Likelihood, Reply


class Reader(Protocol):
    """Rows of cached text and images that a language model can append tokens to.

    Attributes:
        position: int64 (rows,), the position of the next token of each row.
        device: of the logits.
    """

    position: Tensor
    device: torch.device

    @property
    def rows(self) -> int:
        """How many."""

    @property
    def limit(self) -> int:
        """How many positions the model has."""

    def read(self, ids: Sequence[Sequence[int]]) -> Tensor:
        """Append token ids, one sequence per row; returns (tokens, vocabulary) logits, row by row."""


@dataclass(frozen=True)
class Continuation:
    """Generated tokens of one row.

    Attributes:
        ids: without the end token.
        stopped: the model generated the end token; otherwise the row was cut off.
    """

    ids: list[int]
    stopped: bool

    def reply(self, tokenizer: Tokenizer) -> Reply:
        """The decoded answer."""
        return Reply(tokenizer.decode(self.ids).strip(), len(self.ids), "stop" if self.stopped else "length")


def seeded(seed: int, text: str) -> torch.Generator:
    """A generator that depends on a seed and a text alone: not on the batch, rank or device."""
    digest = hashlib.sha256(f"{seed}\n{text}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def generate_tokens(
    context: Reader,
    first: int,
    stop: int,
    decoding: Decoding,
    draws: Sequence[torch.Generator] = (),
    reserve: int = 0,
) -> list[Continuation]:
    """Continuation of each row, cut off where the row has no position left; the context grows by it.

    Finished rows stay in the batch, so that the numbers of the others do not depend on when they finished; what the
    context then holds of a finished row is not meaningful.

    Args:
        context: what comes before.
        first: token id after which every continuation begins; not part of it.
        stop: token id that ends a continuation; not part of it.
        decoding: how tokens are chosen; its seed is not used, ``draws`` are.
        draws: a generator per row, on the CPU, for a temperature above 0.
        reserve: positions of each row that are left free.
    """
    tokens = torch.full((context.rows,), first, device=context.device)
    finished = torch.zeros(context.rows, dtype=torch.bool, device=context.device)
    stopped = torch.zeros_like(finished)
    generated: list[list[int]] = [[] for _ in range(context.rows)]
    for _ in range(decoding.max_new_tokens):
        finished |= context.position >= context.limit - reserve
        if finished.all():
            break
        # At position 0 there is always room.
        context.position = context.position.masked_fill(finished, 0)
        logits = context.read(tokens[:, None].tolist()).float()
        if decoding.temperature > 0:
            # The largest of logits plus Gumbel noise is a draw from their softmax.
            uniform = torch.stack([torch.rand(logits.shape[1], generator=row) for row in draws]).to(logits.device)
            logits = logits / decoding.temperature - torch.log(-torch.log(uniform.clamp_min(1e-20)))
        tokens = logits.argmax(-1)
        stopped |= ~finished & (tokens == stop)
        finished |= stopped
        for row, token in enumerate(tokens.tolist()):
            if not finished[row]:
                generated[row].append(token)
    return [Continuation(ids, end) for ids, end in zip(generated, stopped.tolist(), strict=True)]


def likelihoods(context: Reader, first: int, stop: int, texts: Sequence[Sequence[int]]) -> list[Likelihood]:
    """How likely it is that each row, after ``first``, continues with its text and then stops.

    Args:
        context: what comes before.
        first, stop: see :func:`generate_tokens`.
        texts: token ids, one sequence per row.
    """
    inputs = [[first, *text] for text in texts]
    targets = [token for text in texts for token in (*text, stop)]
    logprobs = context.read(inputs).float().log_softmax(-1)
    each = logprobs[torch.arange(len(targets)), torch.tensor(targets, device=logprobs.device)]
    parts = each.split([len(row) for row in inputs])
    return [Likelihood(float(part[:-1].sum()), len(part) - 1, float(part[-1])) for part in parts]
