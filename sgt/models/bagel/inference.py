"""Answers and images of a BAGEL (``bagel.md`` 6)."""

from collections.abc import Sequence

import torch
from PIL import Image

from sgt.errors import SgtError
from sgt.models.bagel.base import BagelBase, group_by_kinds, parts_of
from sgt.models.bagel.context import Context
from sgt.models.bagel.sampling import sample_latents
from sgt.models.decoding import generate_tokens, likelihoods, seeded
from sgt.models.interface import Answerer, Decoding, Generator, Likelihood, Reply, Request, Sampling
from sgt.models.prefixes import shared_prefixes
from sgt.models.transforms import to_images


class BagelInference(BagelBase, Answerer, Generator):
    """See :class:`sgt.models.interface.Answerer` and :class:`sgt.models.interface.Generator`.

    A text of a request is a text between markers, an image one between its own: BAGEL has no chat template.
    """

    def _answer(self, requests: Sequence[Request], decoding: Decoding) -> list[Reply]:
        """See :meth:`Answerer.answer`."""
        return self._replies(self._read(requests), requests, decoding)

    def _loglikelihood(
        self, requests: Sequence[Request], continuations: Sequence[Sequence[str]]
    ) -> list[list[Likelihood]]:
        """See :meth:`Answerer.loglikelihood`."""
        return self._rated(self._read(requests), continuations)

    def _answer_and_rate(
        self, requests: Sequence[Request], decoding: Decoding, continuations: Sequence[Sequence[str]]
    ) -> tuple[list[Reply], list[list[Likelihood]]]:
        """See :meth:`Answerer.answer_and_rate`."""
        context = self._read(requests)
        # First what leaves the context as it is: answers are appended to it.
        rated = self._rated(context, continuations)
        return self._replies(context, requests, decoding), rated

    def _replies(self, context: Context, requests: Sequence[Request], decoding: Decoding) -> list[Reply]:
        draws = [seeded(decoding.seed, request.text) for request in requests]
        found = generate_tokens(context, self.special.bos, self.special.eos, decoding, draws)
        return [each.reply(self.tokenizer) for each in found]

    def _rated(self, context: Context, continuations: Sequence[Sequence[str]]) -> list[list[Likelihood]]:
        context = context.select([place for place, texts in enumerate(continuations) for _ in texts])
        ids = [self.ids(text) for texts in continuations for text in texts]
        found = iter(likelihoods(context, self.special.bos, self.special.eos, ids))
        return [[next(found) for _ in texts] for texts in continuations]

    def _read(self, requests: Sequence[Request]) -> Context:
        """A context with a row per request. Each distinct prefix is read once."""
        shared = shared_prefixes(requests)
        contents = [parts_of(prefix) for prefix in shared.prefixes]
        groups = group_by_kinds(contents)
        contexts = [self._read_group([contents[place] for place in places]) for places in groups]
        context = contexts[0] if len(contexts) == 1 else Context.stack(contexts)
        row_of = {place: row for row, place in enumerate(place for places in groups for place in places)}
        context = context.select([row_of[place] for place in shared.prefix_of])
        context.add_texts([[self.ids(text) for text in tail] for tail in shared.tails])
        return context

    def _read_group(self, rows: Sequence[Sequence[str | Image.Image]]) -> Context:
        """A context of contents with the same kinds of parts in the same order."""
        context = Context(self.network, self.special, len(rows))
        for parts in zip(*rows, strict=True):
            if isinstance(parts[0], str):
                context.add_text([self.ids(text) for text in parts])
            else:
                context.add_vit([self.vqa_transform(image) for image in parts])
        return context

    def _generate(
        self,
        requests: Sequence[Request],
        sampling: Sampling,
        seeds: Sequence[int],
        size: tuple[int, int],
        edit: bool,
    ) -> list[Image.Image]:
        """See :meth:`Generator.generate`. An image to edit is first scaled as a target image, then for the encoder."""
        stride = self.network.config.latent_stride
        if any(side % stride for side in size):
            problem = f"{size[0]}x{size[1]} pixels are not multiples of {stride}"
            raise SgtError("generated image", problem, "choose another size")
        found: dict[int, Image.Image] = {}
        for places in group_by_kinds([parts_of(request) for request in requests]):
            some = [requests[place] for place in places]
            images = self._generate_group(some, sampling, [seeds[place] for place in places], size, edit)
            found |= zip(places, images, strict=True)
        return [found[place] for place in range(len(requests))]

    def _generate_group(
        self,
        requests: Sequence[Request],
        sampling: Sampling,
        seeds: Sequence[int],
        size: tuple[int, int],
        edit: bool,
    ) -> list[Image.Image]:
        """Images of requests with the same kinds of parts in the same order."""
        config, rows = self.network.config, range(len(requests))
        draws = [seeded(seed, f"image to edit\n{request.text}") for request, seed in zip(requests, seeds, strict=True)]
        full, image_free = (Context(self.network, self.special, len(requests)) for _ in range(2))
        text_free = full.select(rows)
        for parts in zip(*(parts_of(request) for request in requests), strict=True):
            if isinstance(parts[0], str):
                text_free = full.select(rows)
                for context in (full, image_free):
                    context.add_text([self.ids(text) for text in parts])
                continue
            images = list(parts)
            if edit:
                images = [self.vae_transform.resize(image) for image in images]
                full.add_latents([self.encoded(image, draw) for image, draw in zip(images, draws, strict=True)])
            full.add_vit([self.vit_transform(image) for image in images])
            text_free = full.select(rows)
        if requests[0].system:
            thinking, markers = full.select(rows), (self.special.bos, self.special.eos)
            # The thought's own markers and the image come after it.
            thoughts = generate_tokens(thinking, *markers, Decoding(sampling.think_tokens), reserve=3)
            full.add_text([thought.ids for thought in thoughts])
        shape = size[0] // config.latent_stride, size[1] // config.latent_stride
        tokens = shape[0] * shape[1]
        noise = torch.cat(
            [
                torch.randn(tokens, config.latent_dim, generator=seeded(seed, request.text))
                for request, seed in zip(requests, seeds, strict=True)
            ]
        ).to(full.device)
        x = sample_latents(full, text_free, image_free, noise, shape, sampling)
        latents = torch.stack([self.network.unpatchify(part, shape) for part in x.split(tokens)])
        return to_images(self.vae.decode(latents.float()))
