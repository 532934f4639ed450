"""Models to try by hand: they answer questions about a picture, rate given answers, and draw."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from PIL import Image

from sgt.app.pictures import Picture, read_picture
from sgt.config.inference import SamplingOptions
from sgt.config.models import Model
from sgt.data.mixture import generator
from sgt.errors import SgtError
from sgt.evaluation.predict import sampling_of
from sgt.models.interface import Sampling
from sgt.models.registry import target_transform
from sgt.models.requests import Decoding, Likelihood, Reply, Request
from sgt.models.rules import rules_of
from sgt.models.unified import UnifiedModel
from sgt.proxies.base import Proxy
from sgt.study.loaded import DEFAULT_STEPS, LoadedStudy
from sgt.study.record import read_run
from sgt.study.runs import Run

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

MAX_NEW_TOKENS = 256


@dataclass(frozen=True)
class RatedOption:
    """How likely an option is as the whole answer to a question.

    Attributes:
        option: its text.
        logprob: log-probability of the option and of the end of the answer after it, nats.
        share: the option's probability divided by that of all options together, from 0 to 1.
        likelihood: the two parts of ``logprob``, and the number of tokens.
    """

    option: str
    logprob: float
    share: float
    likelihood: Likelihood


class InteractiveModel:
    """A checkpoint to try by hand. Its weights are read when they are first needed.

    Pictures are paths, bytes of image files or Pillow images. Nothing that a call returns depends on earlier calls.

    Attributes:
        name: of the model, or of the run (``bagel-tiny/segmentation/seed0``).
        spec: the model's file.
    """

    def __init__(self, name: str, spec: Model, load: Callable[[], UnifiedModel]) -> None:
        self.name, self.spec, self._load = name, spec, load

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    @cached_property
    def model(self) -> UnifiedModel:
        """The model with its weights.

        Raises:
            SgtError: a file or tensor is missing, or there is no device that the model can run on.
        """
        model = self._load()
        model.network.eval()
        return model

    def answer(
        self,
        question: str,
        picture: Picture | None = None,
        *,
        system: str | None = None,
        max_new_tokens: int = MAX_NEW_TOKENS,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> Reply:
        """The model's reply in words.

        Args:
            question: as the model gets it, after the picture.
            picture: what the question is about, if anything.
            system: a text before everything else.
            max_new_tokens: the answer is cut off after so many tokens.
            temperature: 0 takes the most likely token, else tokens are drawn from softmax(logits / temperature).
            seed: of the draws.

        Raises:
            SgtError: the picture cannot be read or is too large or too narrow, or the request is too long.
        """
        decoding = Decoding(max_new_tokens, temperature, seed)
        return self.model.answer([_request(question, picture, system)], decoding)[0]

    def rate(
        self, question: str, options: Sequence[str], picture: Picture | None = None, *, system: str | None = None
    ) -> list[RatedOption]:
        """How likely each option is as the answer, in the order of ``options``.

        Args:
            question, picture, system: see :meth:`answer`.
            options: at least one text.

        Raises:
            SgtError: see :meth:`answer`; or an option is empty, or there is none.
        """
        if not options or not all(options):
            raise SgtError("options", "an empty text" if options else "none", "give one or more texts")
        (rated,) = self.model.loglikelihood([_request(question, picture, system)], [options])
        logprobs = [each.logprob + each.end_logprob for each in rated]
        highest = max(logprobs)
        total = sum(math.exp(logprob - highest) for logprob in logprobs)
        return [
            RatedOption(option, logprob, math.exp(logprob - highest) / total, each)
            for option, logprob, each in zip(options, logprobs, rated, strict=True)
        ]

    def attention(self, question: str, picture: Picture, *, system: str | None = None) -> "list[np.ndarray]":
        """Where on a picture the model looks before it answers.

        Args:
            question, picture, system: see :meth:`answer`.

        Returns:
            Per layer of the language model, fp32 (rows, columns) of the picture's tokens, the upper left one first: the
            share of the attention of the token before the answer, averaged over heads, that falls on each. The sum is
            the share that falls on the picture, ``answer_to_vision`` of the analysis ``attend``.

        Raises:
            SgtError: as :meth:`answer`.
        """
        request = _request(question, picture, system)
        (captured,) = self.model.capture([request], None, ["answer"], states=False, map_from="answer")
        return [maps[0].numpy() for _, maps in sorted(captured.maps.items())]

    def default_sampling(self, with_picture: bool) -> Sampling:
        """How :meth:`draw` samples, if it is not given a sampling of its own."""
        return Sampling()

    def draw(
        self,
        prompt: str,
        picture: Picture | None = None,
        *,
        edit: bool = False,
        size: tuple[int, int] | None = None,
        sampling: Sampling | None = None,
        seed: int = 0,
    ) -> Image.Image:
        """An RGB image that the model makes.

        Args:
            prompt: what to draw, or what to make of the picture.
            picture: the input image, if any.
            edit: the picture is a reference to edit, as in the editing of released checkpoints: BAGEL encodes it by the
                VAE as well as by the semantic encoder, OmniGen2 by the VAE alone. Otherwise the semantic encoder alone
                encodes it, as in the training of proxies.
            size: (width, height) in pixels, rounded to what the model can make. By default that of the picture, without
                one the largest square.
            sampling: see :meth:`default_sampling`.
            seed: of the noise.

        Raises:
            SgtError: the picture cannot be read, is too large or too narrow, or the prompt is too long.
        """
        image = None if picture is None else read_picture(picture)
        if size is None:
            side = rules_of(self.spec.family).largest_sides(self.spec).target
            size = image.size if image else (side, side)
        if min(size) < 1:
            raise SgtError("size", f"{size[0]}x{size[1]} pixels", "give a width and a height of at least 1")
        width, height = target_transform(self.spec).size(*size)
        (made,) = self.model.generate(
            [Request([*([image] if image else []), prompt])],
            sampling or self.default_sampling(image is not None),
            seeds=[seed],
            size=(height, width),
            edit=edit,
        )
        return made


class InteractiveRun(InteractiveModel):
    """The checkpoint of a finished run of a study.

    Attributes:
        study: that the run is of.
        run: its model, arm and seed.
    """

    def __init__(self, study: LoadedStudy, run: Run, load: Callable[[], UnifiedModel]) -> None:
        super().__init__(run.id, study.models[run.model], load)
        self.study, self.run = study, run

    @cached_property
    def record(self) -> dict[str, Any]:
        """The run's ``run.json``: recipe, hashes, code, command, …"""
        return read_run(self.study, self.run)

    @property
    def proxy(self) -> Proxy | None:
        """The proxy that the run was trained on; None of the base, of controls and of transplants."""
        return self.study.proxy(self.run.arm) if self.run in self.study.proxy_runs else None

    def default_sampling(self, with_picture: bool) -> Sampling:
        """As the study's benchmark of images samples; a proxy arm's drawings of pictures as its treatment's check."""
        if with_picture and self.proxy:
            return sampling_of(self.study.target_sampling)
        benchmark = self.study.sampling_benchmark
        return sampling_of(benchmark.sampling if benchmark else SamplingOptions(num_steps=DEFAULT_STEPS))

    def target_input(self, picture: Picture, seed: int = 0) -> Image.Image:
        """A picture as the run's proxy shows it to the model: degraded, if it is a proxy that degrades.

        Args:
            picture: to be shown.
            seed: of the degradation.

        Raises:
            SgtError: the run has no proxy, or the picture cannot be read.
        """
        proxy = self._own_proxy()
        return proxy.condition(read_picture(picture), generator(seed, f"proxy {proxy.name}", 0))

    def draw_target(
        self, picture: Picture, *, size: tuple[int, int] | None = None, sampling: Sampling | None = None, seed: int = 0
    ) -> Image.Image:
        """What the run makes of a picture with the first prompt of its proxy.

        Args:
            picture: see :meth:`target_input`, which is what the model gets.
            size, sampling: see :meth:`draw`.
            seed: of the noise and of the degradation.

        Raises:
            SgtError: the run has no proxy, or as :meth:`draw`.
        """
        prompt = self._own_proxy().prompts[0]
        return self.draw(prompt, self.target_input(picture, seed), size=size, sampling=sampling, seed=seed)

    def losses(self) -> "pd.DataFrame":
        """The run's training log, one row per step: ``step``, ``loss``, ``ce``, ``mse``, ``lr``, …

        Raises:
            SgtError: the run has none, as that of a base.
        """
        import pandas as pd

        path = self.study.run_dir(self.run) / "metrics.jsonl"
        if not path.exists():
            raise SgtError(path, "no such file", "name a run that was trained")
        return pd.DataFrame(map(json.loads, path.read_text(encoding="utf-8").splitlines()))

    def _own_proxy(self) -> Proxy:
        if self.proxy is None:
            raise SgtError(self.name, "was not trained on a proxy", "give a prompt, or name a run of a proxy arm")
        return self.proxy


def _request(question: str, picture: Picture | None, system: str | None) -> Request:
    return Request([*([] if picture is None else [read_picture(picture)]), question], system)
