"""States and attention of a BAGEL, while it reads a request and then answers or generates."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from sgt.models import flow
from sgt.models.bagel.base import BagelBase, group_by_kinds, parts_of
from sgt.models.bagel.context import Context
from sgt.models.bagel.layers import EXPERTS, Streams
from sgt.models.capture import Captured, Capturer, NoisyTarget, Selection
from sgt.models.decoding import seeded
from sgt.models.interface import Request
from sgt.models.keywords import token_names
from sgt.models.recorder import Recorder, eager_attend, recording
from sgt.models.transforms import ImageTransform
from sgt.models.vision_reads import VisionReads


class BagelCapture(BagelBase, Capturer):
    """See :class:`sgt.models.capture.Capturer`."""

    def _captured_layers(self, generating: bool) -> int:
        """See :meth:`Capturer._captured_layers`: text and latents share the layers."""
        return len(self.network.language_model.model.layers)

    def _capture(self, requests: Sequence[Request], selection: Selection, target: NoisyTarget | None) -> list[Captured]:
        """See :meth:`Capturer.capture`."""
        found: dict[int, Captured] = {}
        decoder = self.network.language_model.model.layers
        for places in group_by_kinds([parts_of(request) for request in requests]):
            some = [requests[place] for place in places]
            recorder = Recorder(selection, len(some), self.device)
            layers = {layer: decoder[layer] for layer in selection.layers}
            with recording(recorder, layers, "self_attn", _released_queries):
                context = self._read_recorded(some, recorder, self.vit_transform if target else self.vqa_transform)
                if target is None:
                    recorder.begin([["answer"]] * len(some))
                    context.read([[self.special.bos]] * len(some))
                else:
                    images = [target.images[place] for place in places]
                    seeds = [target.seeds[place] for place in places]
                    noisy, shapes = self._noisy(images, some, seeds, target.time)
                    names = [["template", *["target"] * (h * w), "template"] for h, w in shapes]
                    recorder.begin(names, cached=False)
                    context.velocity(noisy, target.time, shapes)
            found |= zip(places, recorder.captured(), strict=True)
        return [found[place] for place in range(len(requests))]

    @contextmanager
    def reading_vision(self, reads: VisionReads) -> Iterator[None]:
        """See :meth:`Capturer.reading_vision`."""
        decoder = self.network.language_model.model.layers
        attentions = {index: vars(decoder[index].get_submodule("self_attn")) for index in reads.layers}
        try:
            for index, attention in attentions.items():
                attention["attend"] = partial(eager_attend, partial(reads.attention, index))
            yield
        finally:
            for attention in attentions.values():
                attention.pop("attend", None)

    def _read_recorded(self, requests: Sequence[Request], recorder: Recorder, transform: ImageTransform) -> Context:
        """A context of requests with the same kinds of parts in the same order."""
        context = Context(self.network, self.special, len(requests))
        counts: Counter[str] = Counter()
        patch, find = self.network.config.vit.patch_size, recorder.selection.keywords
        contents = [parts_of(request) for request in requests]
        for place, parts in enumerate(zip(*contents, strict=True)):
            is_last = place == len(contents[0]) - 1
            if not isinstance(parts[0], str):
                name, pixels = f"image.{counts['image']}", [transform(image) for image in parts]
                grids = [(image.shape[1] // patch, image.shape[2] // patch) for image in pixels]
                names = [["template.frame", *[name] * (h * w), "template.frame"] for h, w in grids]
                for of_row, grid in zip(recorder.grids, grids, strict=True):
                    of_row.append(grid)
                recorder.begin(_with_tail(names) if is_last else names)
                context.add_vit(pixels)
                counts["image"] += 1
                continue
            is_system = place == 0 and bool(requests[0].system)
            name = "system" if is_system else f"text.{counts['text']}"
            encoded = [self.plain_tokenizer.encode(text, add_special_tokens=False) for text in parts]
            ends = [[end for _, end in each.offsets] for each in encoded]
            found = [token_names(name, text, each, find) for text, each in zip(parts, ends, strict=True)]
            names = [["template", *each, "template"] for each in found]
            recorder.begin(_with_tail(names) if is_last else names)
            context.add_text([each.ids for each in encoded])
            counts["text"] += not is_system
        return context

    def _noisy(
        self, images: Sequence[Image.Image], requests: Sequence[Request], seeds: Sequence[int], time: float
    ) -> tuple[Tensor, list[tuple[int, int]]]:
        """Tokens of noisy latents, one image after another, and the (h, w) of each in tokens."""
        tokens, shapes = [], []
        for image, request, seed in zip(images, requests, seeds, strict=True):
            draw = seeded(seed, f"target\n{request.text}")
            clean = self.network.patchify(self.encoded(self.vae_transform.resize(image), draw))
            noise = torch.randn(clean.shape, generator=seeded(seed, request.text)).to(clean.device)
            tokens.append(flow.interpolate(clean, noise, torch.tensor(time)))
            width, height = self.vae_transform.size(*image.size)
            stride = self.network.config.latent_stride
            shapes.append((height // stride, width // stride))
        return torch.cat(tokens), shapes


def _with_tail(names: Sequence[Sequence[str]]) -> list[list[str]]:
    """The names of the last tokens of requests, with those of the tail marked."""
    return [[*row[:-4], *(f"{name}.tail" for name in row[-4:-2]), *row[-2:]] for row in names]


def _released_queries(layer: nn.Module, streams: Streams) -> Tensor:
    """Output states times the query weights of the expert that each token has: (N, H, D)."""
    attention = layer.get_submodule("self_attn")
    weights = [attention.get_parameter(f"q_proj{expert}.weight") for expert in EXPERTS]
    queries = [F.linear(x, weight) for x, weight in zip(streams, weights, strict=True)]
    return torch.cat(queries).unflatten(-1, (-1, attention.head_dim))
