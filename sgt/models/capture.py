"""Hidden states and attention of named layers, reduced over named spans of tokens, from one forward pass."""

import re
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from PIL import Image
from torch import Tensor

from sgt.errors import SgtError
from sgt.models.interface import Inference, Request
from sgt.models.keywords import KeywordFinder
from sgt.models.loaded import inference

if TYPE_CHECKING:
    from sgt.models.vision_reads import VisionReads

SPAN = re.compile(
    r"(system|template|frame|tail|answer|target)|(text|image)(\.[0-9]+)?|text(\.[0-9]+)?\.(?!frame$|tail$)[a-z]+"
)


@dataclass(frozen=True)
class NoisyTarget:
    """The image that a captured pass predicts the velocity of.

    Attributes:
        images: the clean target of each request; scaled as a target image in training.
        time: of all of them, 1 being noise and 0 data, in both families.
        seeds: one per request; the noise depends on it and the request's text alone.
    """

    images: Sequence[Image.Image]
    time: float
    seeds: Sequence[int]


@dataclass(frozen=True)
class Captured:
    """What was captured of one request.

    Attributes:
        states: layer → span → fp32 (tokens of the span, width): the residual stream after the layer, on the CPU.
        attention: layer → fp32 (spans, spans), or (heads, spans, spans) if per head, on the CPU: the share of the
            attention of a span's tokens (row) that falls on the tokens of a span (column): summed over keys, averaged
            over queries and, unless per head, over heads. A row is nan if the request has no token of that span.
        released: the same of the attention that the released code computes, if it was wanted and the pass has it.
        maps: layer → per image of the content, fp32 (rows, columns) of its tokens, on the CPU: the share of the
            attention of the span ``map_from`` that falls on each, averaged over heads. Together they are that of
            ``attention`` on ``image.N``. The first is the token of the picture's upper left corner.
    """

    states: dict[int, dict[str, Tensor]]
    attention: dict[int, Tensor]
    released: dict[int, Tensor] = field(default_factory=dict)
    maps: dict[int, list[Tensor]] = field(default_factory=dict)


@dataclass(frozen=True)
class Selection:
    """What is captured; see :meth:`Capturer.capture`."""

    layers: Sequence[int]
    spans: Sequence[str]
    states: bool = True
    per_head: bool = False
    released: bool = False
    keywords: KeywordFinder | None = None
    map_from: str | None = None


class Capturer(Inference):
    """Captures what happens inside a forward pass."""

    @inference
    def capture(
        self,
        requests: Sequence[Request],
        layers: Sequence[int] | None,
        spans: Sequence[str],
        *,
        target: NoisyTarget | None = None,
        states: bool = True,
        per_head: bool = False,
        released: bool = False,
        keywords: KeywordFinder | None = None,
        map_from: str | None = None,
    ) -> list[Captured]:
        """Hidden states and attention of each request.

        Args:
            requests: any number.
            layers: indexes of layers, from 0: of the language model, or, with ``target``, of what predicts velocities
                (BAGEL: the same layers; OmniGen2: the diffusion transformer after its refiners). All if None.
            spans: names of tokens: ``system`` (the request's system text), ``text`` and ``image`` (all texts and
                images of the content; ``text.0``, ``image.1``: a single one, each kind numbered apart; ``text.KIND``,
                ``text.0.KIND``: the keywords of a kind), ``answer`` (the token before an answer, whose state predicts
                its first token), ``target`` (the noisy latents), ``template`` (all the rest: markers and the fixed
                texts of a chat). Of these, ``frame`` are the markers around images, and ``tail`` the fourth and third
                last token that a request to be answered has.
            target: if given, the pass is that of generating an image from the request; otherwise of answering it.
            states: keep states; without them, what is kept of a long request is small.
            per_head: keep the heads of the attention apart.
            released: also compute the attention of the released analysis code (``sgt.md`` 6): its queries are a layer's
                output states times the query weights, without bias, norms and rotation; its keys the layer's own, of
                everything in the cache, with no causal mask. It has no form for OmniGen2's diffusion transformer.
            keywords: finds the keywords of each text.
            map_from: one of ``spans``, whose attention is also kept for each token of each image.

        Raises:
            SgtError: there is no such layer or span, a request is too long, or there are not as many targets as
                requests.
        """
        count = self._captured_layers(target is not None)
        layers = range(count) if layers is None else layers
        for layer in layers:
            if not 0 <= layer < count:
                raise SgtError("layers", f"there is no layer {layer}", f"use 0 to {count - 1}")
        for span in spans:
            if not SPAN.fullmatch(span):
                raise SgtError("spans", f"there is no span {span!r}", "see Capturer.capture for their names")
        if map_from is not None and map_from not in spans:
            raise SgtError("map_from", f"{map_from!r} is not one of the spans", f"use one of {', '.join(spans)}")
        if target and not len(requests) == len(target.images) == len(target.seeds):
            given = f"{len(requests)} requests, {len(target.images)} targets and {len(target.seeds)} seeds"
            raise SgtError("request", given, "give as many of each")

        selection = Selection(layers, spans, states, per_head, released, keywords, map_from)

        def work(places: Sequence[int]) -> list[Captured]:
            its_target = target and NoisyTarget(
                [target.images[place] for place in places], target.time, [target.seeds[place] for place in places]
            )
            return self._capture([requests[place] for place in places], selection, its_target)

        sizes = [image.size[::-1] for image in target.images] if target else [None] * len(requests)
        tokens = [self.request_tokens(request, size) for request, size in zip(requests, sizes, strict=True)]
        return self.batch_sizes.run("capture", work, range(len(requests)), tokens)

    @inference
    def capture_conditioning(self, images: Sequence[Image.Image]) -> list[list[Tensor]]:
        """States of images where a part of its own, beside the language model, reads what it is conditioned on.

        Args:
            images: each is what an image is generated from, without a text.

        Returns:
            Per image, after each step of reading, fp32 (tokens of the image, width) on the CPU. No steps by default:
            where the language model itself predicts velocities, its layers are all that there is.
        """
        return [[] for _ in images]

    def reading_vision(self, reads: "VisionReads") -> AbstractContextManager[None]:
        """Within the context, answer with the attention of some layers of the language model changed or observed.

        Args:
            reads: their attention.

        Raises:
            SgtError: the family does not mark which tokens of a context are those of images.
        """
        raise SgtError("model", "its family does not mark the tokens of images in a context", "leave it out")

    @abstractmethod
    def _captured_layers(self, generating: bool) -> int:
        """How many layers there are to capture."""

    @abstractmethod
    def _capture(self, requests: Sequence[Request], selection: Selection, target: NoisyTarget | None) -> list[Captured]:
        """See :meth:`capture`: at least one request."""
