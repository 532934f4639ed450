"""Cross-entropy over a large vocabulary that never holds the logits of all supervised tokens.

At 152,064 words a token's logits take 0.3 MB in bf16, and their fp32 copy and gradients five times as much: more than
everything else that a layer keeps of the token. Beyond :data:`LOGITS_AT_ONCE` the vocabulary is therefore worked
through in parts. The forward pass keeps each token's largest logit and the sum of all exponentials relative to it; the
backward pass computes the logits of a part once more, and from them its gradients. The parts are of the vocabulary, not
of the tokens, so that each row of the weight's gradient is one matrix product over all tokens, accumulated in fp32
within it and written once.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Logits (tokens x words) up to which all of them are computed at once, and beyond which so many are: 441 tokens of
# BAGEL-7B's vocabulary. Models of few words never come near it.
LOGITS_AT_ONCE = 2**26


def cross_entropy(hidden: Tensor, head: nn.Linear, labels: Tensor) -> Tensor:
    """Cross-entropy of each supervised token, nats; softmax in fp32.

    Args:
        hidden: (N, width), final hidden states of the supervised tokens alone.
        head: (words, width), without a bias.
        labels: int64 (N,), the word of each token.

    Returns:
        fp32 (N,).
    """
    if len(hidden) * len(head.weight) <= LOGITS_AT_ONCE:
        return F.cross_entropy(head(hidden).float(), labels, reduction="none")
    weight, kind = head.weight, hidden.device.type
    if torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
        hidden, weight = hidden.to(dtype), weight.to(dtype)
    return ChunkedCrossEntropy.apply(hidden, weight, labels, words_at_once(len(hidden)))


def words_at_once(tokens: int) -> int:
    """Words per part of the vocabulary, for so many tokens."""
    return max(1, LOGITS_AT_ONCE // tokens)


class ChunkedCrossEntropy(torch.autograd.Function):
    """``F.cross_entropy(F.linear(hidden, weight).float(), labels, reduction="none")``, part by part."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor, words: int) -> Tensor:
        """See :func:`cross_entropy`; ``hidden`` and ``weight`` of one dtype, ``words`` of the vocabulary at a time."""
        largest = hidden.new_full((len(hidden),), -torch.inf, dtype=torch.float32)
        total, own = torch.zeros_like(largest), torch.zeros_like(largest)
        for start in range(0, len(weight), words):
            part = weight[start : start + words]
            logits = F.linear(hidden, part).float()
            place, inside = _place(labels - start, len(part))
            own = torch.where(inside, logits.gather(1, place[:, None])[:, 0], own)
            before, largest = largest, torch.maximum(largest, logits.amax(1))
            total = total * (before - largest).exp() + logits.sub_(largest[:, None]).exp_().sum(1)
        ctx.save_for_backward(hidden, weight, labels, largest, total)
        ctx.words = words
        return total.log() - (own - largest)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        """Gradients of hidden states and weight, each in its own dtype."""
        hidden, weight, labels, largest, total = ctx.saved_tensors
        of_hidden = torch.zeros_like(hidden, dtype=torch.float32) if ctx.needs_input_grad[0] else None
        of_weight = torch.empty_like(weight) if ctx.needs_input_grad[1] else None
        for start in range(0, len(weight), ctx.words):
            part = weight[start : start + ctx.words]
            # Of the logits: the softmax, less one at the label.
            slope = F.linear(hidden, part).float().sub_(largest[:, None]).exp_().div_(total[:, None])
            place, inside = _place(labels - start, len(part))
            at_label = slope.gather(1, place[:, None]) - inside[:, None].float()
            slope = slope.scatter_(1, place[:, None], at_label).mul_(gradients[0][:, None]).to(weight.dtype)
            if of_hidden is not None:
                of_hidden += slope @ part
            if of_weight is not None:
                torch.mm(slope.T, hidden, out=of_weight[start : start + ctx.words])
        return (None if of_hidden is None else of_hidden.to(hidden.dtype)), of_weight, None, None


def _place(label: Tensor, words: int) -> tuple[Tensor, Tensor]:
    """Where in a part labels are, counted from its first word (0 for those outside), and whether they are in it."""
    inside = (label >= 0) & (label < words)
    return torch.where(inside, label, 0), inside
