"""What every model family offers for inference: answers, likelihoods and images, for requests of text and images.

Training has an interface of its own, :class:`sgt.models.trainable.Trainable`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import torch
from PIL import Image
from torch import nn

from sgt.config.benchmarks import Solver
from sgt.config.recipe import TimeShift
from sgt.errors import SgtError
from sgt.models.requests import Decoding, Likelihood, Reply, Request


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


class LoadedModel(ABC):
    """A network with its weights.

    Attributes:
        network: the weights that post-training changes.
        autocast: run the network's matrix products in bf16, whatever the dtype of its weights.
    """

    network: nn.Module
    autocast: bool = False

    @property
    def device(self) -> torch.device:
        """Where the network's weights are."""
        return next(self.network.parameters()).device

    def arithmetic(self) -> torch.autocast:
        """The context in which the network runs; operations that need fp32 use it regardless."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast)


def inference(method: Callable) -> Callable:
    """Run a method of a model without gradients and under its :meth:`LoadedModel.arithmetic`."""

    @wraps(method)
    def run(self: LoadedModel, *args: Any, **kwargs: Any) -> Any:
        with torch.no_grad(), self.arithmetic():
            return method(self, *args, **kwargs)

    return run


class Answerer(LoadedModel):
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
        return self._answer(requests, decoding) if requests else []

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
        scored = [place for place, texts in enumerate(continuations) if texts]
        found: list[list[Likelihood]] = [[] for _ in requests]
        if scored:
            some = self._loglikelihood(
                [requests[place] for place in scored], [continuations[place] for place in scored]
            )
            for place, each in zip(scored, some, strict=True):
                found[place] = each
        return found

    @abstractmethod
    def _answer(self, requests: Sequence[Request], decoding: Decoding) -> list[Reply]:
        """See :meth:`answer`: at least one request."""

    @abstractmethod
    def _loglikelihood(
        self, requests: Sequence[Request], continuations: Sequence[Sequence[str]]
    ) -> list[list[Likelihood]]:
        """See :meth:`loglikelihood`: at least one request, and at least one continuation of each."""


class Generator(LoadedModel):
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
        return self._generate(requests, sampling, seeds, size, edit) if requests else []

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
