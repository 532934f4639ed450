"""Requests to a model, and its replies in words. Tasks are made of them, so this imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from PIL import Image


@dataclass(frozen=True)
class Request:
    """Input of one model call: interleaved text and images, after an optional system text.

    Attributes:
        content: texts and images in order; any number of each. Requests that begin with the same image objects share
            the key-value cache of that prefix.
        system: a text before everything else. Without one, OmniGen2 uses the default of its chat template and BAGEL
            none.
    """

    content: Sequence[str | Image.Image]
    system: str | None = None

    @property
    def text(self) -> str:
        """All texts of the content, joined by newlines. Random draws depend on it and a seed alone."""
        return "\n".join(part for part in self.content if isinstance(part, str))

    @property
    def images(self) -> list[Image.Image]:
        """All images of the content, in order."""
        return [part for part in self.content if not isinstance(part, str)]


@dataclass(frozen=True)
class Decoding:
    """How an answer's tokens are chosen.

    Attributes:
        max_new_tokens: an answer is cut off after so many tokens.
        temperature: 0 takes the most likely token (greedy), else tokens are drawn from softmax(logits / temperature).
        seed: of the draws, which depend on it and the request's text alone.
    """

    max_new_tokens: int
    temperature: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Reply:
    """A generated answer.

    Attributes:
        text: decoded, without surrounding white space.
        tokens: generated tokens, without the end token.
        finish_reason: ``stop`` if the model ended the answer; ``length`` if it was cut off at ``max_new_tokens`` or at
            the end of the model's context.
    """

    text: str
    tokens: int
    finish_reason: Literal["stop", "length"]


@dataclass(frozen=True)
class Likelihood:
    """How likely a continuation is.

    Attributes:
        logprob: log-probability of the continuation's tokens, nats.
        tokens: of the continuation, without the end token.
        end_logprob: log-probability of the end token after it, nats; ``logprob + end_logprob`` is that of the
            continuation as the whole answer, which training maximises.
    """

    logprob: float
    tokens: int
    end_logprob: float


@dataclass(frozen=True)
class RatedReply(Reply):
    """A generated answer, and how likely given continuations were in its place.

    Attributes:
        likelihoods: one per continuation.
    """

    likelihoods: Sequence[Likelihood]
