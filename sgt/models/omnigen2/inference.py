"""Answers and images of an OmniGen2 (``omnigen2.md`` 3 and 4)."""

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from sgt.errors import SgtError
from sgt.models.decoding import generate_tokens, likelihoods, seeded
from sgt.models.interface import Answerer, Decoding, Generator, Likelihood, Reply, Request, Sampling
from sgt.models.omnigen2.base import OmniGen2Base, refuse_system_text
from sgt.models.omnigen2.context import Context
from sgt.models.omnigen2.rows import collate
from sgt.models.omnigen2.sampling import Branch, sample_latents
from sgt.models.omnigen2.transformer import REFERENCES
from sgt.models.prefixes import shared_prefixes
from sgt.models.transforms import to_images


class OmniGen2Inference(OmniGen2Base, Answerer, Generator):
    """See :class:`sgt.models.interface.Answerer` and :class:`sgt.models.interface.Generator`.

    To answer, a request is one turn of the user, its texts and images in order. To generate an image, the images
    come before the texts, as in training.
    """

    def _answer(self, requests: Sequence[Request], decoding: Decoding) -> list[Reply]:
        """See :meth:`Answerer.answer`."""
        return self._replies(*self._read(requests), requests, decoding)

    def _loglikelihood(
        self, requests: Sequence[Request], continuations: Sequence[Sequence[str]]
    ) -> list[list[Likelihood]]:
        """See :meth:`Answerer.loglikelihood`."""
        return self._rated(*self._read(requests), continuations)

    def _answer_and_rate(
        self, requests: Sequence[Request], decoding: Decoding, continuations: Sequence[Sequence[str]]
    ) -> tuple[list[Reply], list[list[Likelihood]]]:
        """See :meth:`Answerer.answer_and_rate`."""
        context, first = self._read(requests)
        # First what leaves the context as it is: answers are appended to it.
        rated = self._rated(context, first, continuations)
        return self._replies(context, first, requests, decoding), rated

    def _replies(self, context: Context, first: int, requests: Sequence[Request], decoding: Decoding) -> list[Reply]:
        draws = [seeded(decoding.seed, request.text) for request in requests]
        found = generate_tokens(context, first, self.chats.special.end, decoding, draws)
        return [each.reply(self.tokenizer) for each in found]

    def _rated(self, context: Context, first: int, continuations: Sequence[Sequence[str]]) -> list[list[Likelihood]]:
        context = context.select([place for place, texts in enumerate(continuations) for _ in texts])
        ids = [self.chats.ids(text) for texts in continuations for text in texts]
        found = iter(likelihoods(context, first, self.chats.special.end, ids))
        return [[next(found) for _ in texts] for texts in continuations]

    def _read(self, requests: Sequence[Request]) -> tuple[Context, int]:
        """A context with a row per request, up to the token before the answer, and that token.

        Each distinct prefix is read once.
        """
        shared = shared_prefixes(requests)
        context = Context(self.network, [self.chats.prefix(prefix) for prefix in shared.prefixes])
        context = context.select(shared.prefix_of)
        tails = [
            self.chats.question(tail, new_turn=not request.images)
            for request, tail in zip(requests, shared.tails, strict=True)
        ]
        context.append([ids[:-1] for ids in tails])
        return context, tails[0][-1]

    def _generate(
        self,
        requests: Sequence[Request],
        sampling: Sampling,
        seeds: Sequence[int],
        size: tuple[int, int],
        edit: bool,
    ) -> list[Image.Image]:
        """See :meth:`Generator.generate`.

        Images that the language model encodes are in every guidance branch; references are missing from the last one.
        An image of a size that the model does not generate is generated at the next smaller one, and scaled.
        """
        for request in requests:
            refuse_system_text(request)
            if edit and len(request.images) > REFERENCES:
                problem = f"{len(request.images)} are more than {REFERENCES}"
                raise SgtError("reference images", problem, "give fewer")
        prompts = [
            request.text if any(isinstance(part, str) for part in request.content) else None for request in requests
        ]
        shown = [[] if edit else request.images for request in requests]
        references = [
            self._references(request, seed) if edit else [] for request, seed in zip(requests, seeds, strict=True)
        ]
        branches = [Branch(self._features(prompts, shown), references)]
        if sampling.cfg_text_scale > 1:
            negative = self._features([sampling.negative_prompt] * len(prompts), shown)
            if sampling.cfg_image_scale > 1 and any(references):
                branches.append(Branch(negative, references))
            branches.append(Branch(negative, [[] for _ in prompts]))
        width, height = self.vae_transform.size(size[1], size[0])
        shape = self._latent_shape(height, width)
        pairs = zip(requests, seeds, strict=True)
        noise = torch.stack([torch.randn(shape, generator=seeded(seed, request.text)) for request, seed in pairs])
        latents = sample_latents(self.network.transformer, branches, noise.to(self.device), sampling)
        pixels = self.vae.decode(latents.float())
        if (height, width) != tuple(size):
            pixels = torch.nn.functional.interpolate(pixels, size=tuple(size), mode="bilinear")
        return to_images(pixels)

    def _features(self, prompts: Sequence[str | None], shown: Sequence[Sequence[Image.Image]]) -> list[Tensor]:
        """The language model's states of all tokens of each instruction."""
        chats = [self.chats.instruction(prompt, images) for prompt, images in zip(prompts, shown, strict=True)]
        features, lengths = self.network.features(collate(chats).to(self.device))
        return list(features.split(lengths))

    def _references(self, request: Request, seed: int) -> list[Tensor]:
        """The sampled latents of a request's images; the draws depend on its text and the seed alone."""
        draw = seeded(seed, f"image to edit\n{request.text}")
        pixels = [self.vae_transform(image).to(self.device) for image in request.images]
        draws = [torch.randn(self._latent_shape(*image.shape[1:]), generator=draw).to(self.device) for image in pixels]
        return self._encode(pixels, draws)
