"""What every model family offers for inference: answers, likelihoods and images, for requests of text and images.

Training has an interface of its own, :class:`sgt.models.trainable.Trainable`.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from PIL import Image

from sgt.config.inference import Solver
from sgt.config.recipe import TimeShift
from sgt.errors import SgtError
from sgt.models.batching import BatchSizes
from sgt.models.loaded import LoadedModel, inference
from sgt.models.requests import Decoding, Likelihood, RatedReply, Reply, Request


@dataclass(frozen=True)
class Sampling:
    """How images are sampled.

    Attributes:
        num_steps: steps from noise to image; the official BAGEL code counts time points, one more.
        shift: see :func:`sgt.models.flow.shift_factor`.
        cfg_text_scale, cfg_image_scale: classifier-free guidance; at most 1 switches the branch off.
        cfg_interval: (low, high]: times at which guidance acts, 1 being noise. OmniGen2 counts steps: it acts while the
            share of steps done is in [1 − high, 1 − low].
        renorm: ``global``, ``channel`` or ``text_channel``: how BAGEL's guided velocity is rescaled.
        renorm_min: lower bound of the rescaling; 1 switches it off.
        solver: ``euler``, or ``dpmsolver++`` (OmniGen2).
        negative_prompt: what OmniGen2 guides away from; None stands for no prompt, as in training.
        think_tokens: BAGEL only: a request with a system text first generates a text of at most so many tokens (a
            thought), which then conditions the image too.
    """

    num_steps: int = 49
    shift: TimeShift = 3.0
    cfg_text_scale: float = 4.0
    cfg_image_scale: float = 1.0
    cfg_interval: tuple[float, float] = (0.4, 1.0)
    renorm: str = "global"
    renorm_min: float = 0.0
    solver: Solver = "euler"
    negative_prompt: str | None = None
    think_tokens: int = 1000


class Inference(LoadedModel):
    """A model that works through requests, as many at a time as memory allows."""

    @cached_property
    def batch_sizes(self) -> BatchSizes:
        """How many requests are worked through at once."""
        return BatchSizes(self.device)

    @abstractmethod
    def request_tokens(self, request: Request, size: tuple[int, int] | None = None) -> int:
        """How many tokens a request has; with the (height, width) of an image that is generated from it, those too.

        Raises:
            SgtError: an image is too narrow.
        """


class Answerer(Inference):
    """Answers requests with text. No request's result depends on the others of a call."""

    @inference
    def answer(self, requests: Sequence[Request], decoding: Decoding) -> list[Reply]:
        """One answer per request.

        Args:
            requests: any number, with or without images.
            decoding: how tokens are chosen.

        Raises:
            SgtError: a request is too long for the model, or an image too large or too narrow.
        """
        tokens = [self.request_tokens(request) + decoding.max_new_tokens for request in requests]
        return self.batch_sizes.run("answer", lambda some: self._answer(some, decoding), requests, tokens)

    @inference
    def loglikelihood(
        self, requests: Sequence[Request], continuations: Sequence[Sequence[str]]
    ) -> list[list[Likelihood]]:
        """How likely each continuation is as the answer to its request.

        Args:
            requests: any number, with or without images.
            continuations: any number of texts per request.

        Returns:
            In the order of ``continuations``.

        Raises:
            SgtError: a request with a continuation is too long for the model, or the lists differ in number.
        """
        _check_same_number("requests", requests, "lists of continuations", continuations)
        pairs = [(request, texts) for request, texts in zip(requests, continuations, strict=True) if texts]
        tokens = [
            len(texts) * (self.request_tokens(request) + max(self.request_tokens(Request((text,))) for text in texts))
            for request, texts in pairs
        ]

        def work(some: Sequence[tuple[Request, Sequence[str]]]) -> list[list[Likelihood]]:
            return self._loglikelihood([request for request, _ in some], [texts for _, texts in some])

        found = iter(self.batch_sizes.run("loglikelihood", work, pairs, tokens))
        return [next(found) if texts else [] for texts in continuations]

    @inference
    def answer_and_rate(
        self, requests: Sequence[Request], decoding: Decoding, continuations: Sequence[Sequence[str]]
    ) -> list[RatedReply]:
        """What :meth:`answer` and :meth:`loglikelihood` give, of requests that are read once.

        Args:
            requests, decoding: see :meth:`answer`.
            continuations: at least one text per request.

        Raises:
            SgtError: as those do.
        """
        _check_same_number("requests", requests, "lists of continuations", continuations)
        pairs = list(zip(requests, continuations, strict=True))
        tokens = [
            (1 + len(texts)) * self.request_tokens(request)
            + decoding.max_new_tokens
            + sum(self.request_tokens(Request((text,))) for text in texts)
            for request, texts in pairs
        ]

        def work(some: Sequence[tuple[Request, Sequence[str]]]) -> list[RatedReply]:
            batch, texts = [request for request, _ in some], [texts for _, texts in some]
            replies, rated = self._answer_and_rate(batch, decoding, texts)
            return [RatedReply(**vars(reply), likelihoods=found) for reply, found in zip(replies, rated, strict=True)]

        return self.batch_sizes.run("answer and rate", work, pairs, tokens)

    @abstractmethod
    def _answer(self, requests: Sequence[Request], decoding: Decoding) -> list[Reply]:
        """See :meth:`answer`: at least one request."""

    @abstractmethod
    def _loglikelihood(
        self, requests: Sequence[Request], continuations: Sequence[Sequence[str]]
    ) -> list[list[Likelihood]]:
        """See :meth:`loglikelihood`: at least one request, and at least one continuation of each."""

    def _answer_and_rate(
        self, requests: Sequence[Request], decoding: Decoding, continuations: Sequence[Sequence[str]]
    ) -> tuple[list[Reply], list[list[Likelihood]]]:
        """See :meth:`answer_and_rate`: a family that can read the requests once for both overrides it."""
        return self._answer(requests, decoding), self._loglikelihood(requests, continuations)


class Generator(Inference):
    """Makes images from requests. No request's result depends on the others of a call."""

    @inference
    def generate(
        self,
        requests: Sequence[Request],
        sampling: Sampling,
        *,
        seeds: Sequence[int],
        size: tuple[int, int],
        edit: bool = False,
    ) -> list[Image.Image]:
        """One RGB image per request.

        Args:
            requests: each a prompt, with any images that it is about.
            sampling: of the images.
            seeds: one per request; the noise depends on it and the request's text alone.
            size: (height, width) in pixels.
            edit: the request's images are references to edit: BAGEL encodes them by the VAE as well as by the
                semantic encoder, OmniGen2 by the VAE alone. Otherwise the semantic encoder alone encodes them.

        Raises:
            SgtError: an image or a text is too large for the model, there are too many images, or not as many seeds as
                requests.
        """
        _check_same_number("requests", requests, "seeds", seeds)
        pairs = list(zip(requests, seeds, strict=True))
        # Each guidance branch has its own row.
        branches = 1 + (sampling.cfg_text_scale > 1) * (1 + (sampling.cfg_image_scale > 1))
        tokens = [branches * self.request_tokens(request, size) for request in requests]

        def work(some: Sequence[tuple[Request, int]]) -> list[Image.Image]:
            batch, its_seeds = zip(*some, strict=True)
            return self._generate(batch, sampling, its_seeds, size, edit)

        return self.batch_sizes.run("generate", work, pairs, tokens)

    @abstractmethod
    def _generate(
        self,
        requests: Sequence[Request],
        sampling: Sampling,
        seeds: Sequence[int],
        size: tuple[int, int],
        edit: bool,
    ) -> list[Image.Image]:
        """See :meth:`generate`: at least one request, and as many seeds."""


def _check_same_number(what: str, some: Sequence, others: str, given: Sequence) -> None:
    if len(some) != len(given):
        raise SgtError("request", f"{len(some)} {what} and {len(given)} {others}", "give as many of each")
