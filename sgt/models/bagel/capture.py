"""States and attention of a BAGEL, while it reads a request and then answers or generates."""

from collections import Counter
from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from sgt.models import flow
from sgt.models.bagel.base import BagelBase, group_by_kinds, parts_of
from sgt.models.bagel.context import Context
from sgt.models.capture import Captured, Capturer, NoisyTarget
from sgt.models.decoding import seeded
from sgt.models.interface import Request
from sgt.models.recorder import Recorder, recording
from sgt.models.transforms import ImageTransform


class BagelCapture(BagelBase, Capturer):
    """See :class:`sgt.models.capture.Capturer`."""

    def _captured_layers(self, generating: bool) -> int:
        """See :meth:`Capturer._captured_layers`: text and latents share the layers."""
        return len(self.network.language_model.model.layers)

    def _capture(
        self,
        requests: Sequence[Request],
        layers: Sequence[int],
        spans: Sequence[str],
        target: NoisyTarget | None,
        per_head: bool,
    ) -> list[Captured]:
        """See :meth:`Capturer.capture`."""
        found: dict[int, Captured] = {}
        decoder = self.network.language_model.model.layers
        for places in group_by_kinds([parts_of(request) for request in requests]):
            some = [requests[place] for place in places]
            recorder = Recorder(spans, len(some), self.device, per_head)
            with recording(recorder, {layer: decoder[layer] for layer in layers}, "self_attn"):
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

    def _read_recorded(self, requests: Sequence[Request], recorder: Recorder, transform: ImageTransform) -> Context:
        """A context of requests with the same kinds of parts in the same order."""
        context = Context(self.network, self.special, len(requests))
        counts: Counter[str] = Counter()
        patch = self.network.config.vit.patch_size
        for place, parts in enumerate(zip(*(parts_of(request) for request in requests), strict=True)):
            if not isinstance(parts[0], str):
                name, pixels = f"image.{counts['image']}", [transform(image) for image in parts]
                lengths = [image.shape[1] * image.shape[2] // patch**2 for image in pixels]
                recorder.begin([["template", *[name] * length, "template"] for length in lengths])
                context.add_vit(pixels)
                counts["image"] += 1
                continue
            is_system = place == 0 and bool(requests[0].system)
            name, ids = "system" if is_system else f"text.{counts['text']}", [self.ids(text) for text in parts]
            recorder.begin([["template", *[name] * len(row), "template"] for row in ids])
            context.add_text(ids)
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
