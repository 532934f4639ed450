"""OmniGen2 behind the common interface."""

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image
from tokenizers import Tokenizer
from torch import Tensor, nn

from sgt.config.recipe import Part, TimeShift
from sgt.errors import SgtError
from sgt.models import flow
from sgt.models.base import GenerationSettings, LossSums, UnifiedModel
from sgt.models.decoding import continuation_log_probability, continuations, seeded
from sgt.models.examples import Example, InputImage, TargetImage
from sgt.models.flow import Stratum
from sgt.models.lora import merge_lora
from sgt.models.omnigen2.chats import ChatBuilder, makes_image
from sgt.models.omnigen2.checkpoint import empty_networks, load_networks, save_networks
from sgt.models.omnigen2.config import read_config
from sgt.models.omnigen2.context import Context
from sgt.models.omnigen2.images import QwenTransform, ReferenceTransform, read_normalisation
from sgt.models.omnigen2.network import Batch, Latents, OmniGen2Network
from sgt.models.omnigen2.prompts import SPECIAL
from sgt.models.omnigen2.rows import Chat, collate
from sgt.models.omnigen2.sampling import Branch, sample_latents
from sgt.models.omnigen2.sizes import part_of
from sgt.models.tokenizer import load_tokenizer, with_special
from sgt.models.transforms import to_images
from sgt.models.vae import VAE


class OmniGen2(UnifiedModel):
    """An OmniGen2 of any size: network, VAE, tokenizer and image transforms.

    Images are shown to the language model as SGT-Gen2 does, whose states of all tokens then tell the diffusion
    transformer what to make. An image to edit is a reference latent, which the language model does not see.
    """

    def __init__(
        self,
        network: OmniGen2Network,
        vae: VAE,
        tokenizer: Tokenizer,
        folder: Path,
        vit_image: Sequence[int],
        vae_image: Sequence[int],
    ) -> None:
        self.network, self.vae, self.tokenizer, self.folder = network, vae, tokenizer, folder
        vision = network.config.language.vision_config
        if vit_image[2] != vision.patch_size * vision.spatial_merge_size:
            tokens = f"{vision.patch_size * vision.spatial_merge_size} pixels per token"
            raise SgtError("vit_image", f"stride {vit_image[2]}, the vision tower has {tokens}", "make them equal")
        self.vit_transform = QwenTransform(
            vit_image[0],
            vit_image[1],
            vision.patch_size,
            vision.spatial_merge_size,
            vision.temporal_patch_size,
            *read_normalisation(folder / "processor"),
        )
        self.vae_transform = ReferenceTransform(*vae_image)
        self.chats = ChatBuilder(tokenizer, network.config.mllm["max_position_embeddings"], self.vit_transform)
        self._outlines = copy(self.chats)
        self._outlines.see = self.vit_transform.outline

    @classmethod
    def from_checkpoint(
        cls,
        folder: Path,
        vit_image: Sequence[int],
        vae_image: Sequence[int],
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        overlay: Path | None = None,
    ) -> "OmniGen2":
        """See :meth:`UnifiedModel.from_checkpoint`.

        ``vit_image`` is (most pixels, fewest pixels, pixels per token) and ``vae_image`` (most pixels, longest side,
        stride).
        """
        folder = Path(folder)
        network, vae = load_networks(folder, dtype, device, overlay)
        tokenizer = with_special(load_tokenizer(folder / "processor"), SPECIAL)
        network.grow_vocabulary(max(tokenizer.token_to_id(token) for token in SPECIAL) + 1)
        return cls(network, vae, tokenizer, folder, vit_image, vae_image)

    @classmethod
    def without_weights(cls, folder: Path, vit_image: Sequence[int], vae_image: Sequence[int]) -> "OmniGen2":
        """See :meth:`UnifiedModel.without_weights`."""
        tokenizer = with_special(load_tokenizer(folder / "processor"), SPECIAL)
        return cls(*empty_networks(read_config(folder)), tokenizer, folder, vit_image, vae_image)

    def save_checkpoint(self, folder: Path, weights: dict[str, Tensor] | None = None) -> None:
        """See :meth:`UnifiedModel.save_checkpoint`."""
        merged = merge_lora(self.network, {**self.network.state_dict(), **(weights or {})})
        save_networks(folder, self.network, self.vae, merged, self.tokenizer, self.folder)

    def part(self, name: str) -> Part:
        """See :meth:`UnifiedModel.part`."""
        return part_of(name)

    @property
    def blocks(self) -> list[nn.Module]:
        """See :meth:`UnifiedModel.blocks`: layers of the vision tower, the language model and the transformer."""
        transformer, mllm = self.network.transformer, self.network.mllm.model
        refiners = [*transformer.context_refiner, *transformer.noise_refiner]
        return [*mllm.visual.blocks, *mllm.language_model.layers, *refiners, *transformer.layers]

    def activation_checkpointing(self, on: bool) -> None:
        """See :meth:`UnifiedModel.activation_checkpointing`; of transformer and language model."""
        self.network.transformer.activation_checkpointing = on
        if on:
            self.network.mllm.activation_checkpointing_enable({"use_reentrant": False, "preserve_rng_state": False})
        else:
            self.network.mllm.activation_checkpointing_disable()

    def tokens(self, example: Example) -> int:
        """See :meth:`UnifiedModel.tokens`. No pixel is touched."""
        count = self.chats.tokens(example)
        for part in example:
            match part:
                case InputImage(image):
                    width, height = self.vit_transform.size(*image.size)
                    # The marker of an image is counted with the text.
                    count += (width // self.vit_transform.stride) * (height // self.vit_transform.stride) - 1
                case TargetImage(image):
                    width, height = self.vae_transform.size(*image.size)
                    stride = self.network.config.latent_stride
                    count += (width // stride) * (height // stride)
        return count

    def check(self, example: Example) -> int:
        """See :meth:`UnifiedModel.check`: the example's chat is made, its images without pixels."""
        tokens = len(self._outlines.chat_of(example).ids)
        for part in example:
            if isinstance(part, TargetImage):
                stride = self.network.config.latent_stride
                width, height = (side // stride for side in self.vae_transform.size(*part.image.size))
                self.network.transformer.check_place("image to make", tokens, height, width)
                tokens += width * height
        return tokens

    def batch(
        self, examples: Sequence[Example], seeds: Sequence[int], strata: Sequence[Stratum] | None = None
    ) -> Batch:
        """Collate examples. Per target: the flow's time, the VAE's noise, the flow's noise."""
        making = [place for place, example in enumerate(examples) if makes_image(example)]
        answering = [self.chats.chat_of(example) for example in examples if not makes_image(example)]
        targets, times, draws, noise = [], [], [], []
        for order, place in enumerate(making):
            images = [part.image for part in examples[place] if isinstance(part, TargetImage)]
            if len(images) > 1:
                raise SgtError("example", "asks for more than one image", "give one example per image")
            targets.append(self.vae_transform(images[0]))
            own = torch.Generator().manual_seed(seeds[place])
            times.append(flow.draw_time(self.time_sampling, own, strata[place] if strata else (order, len(making))))
            shape = self._latent_shape(*targets[-1].shape[1:])
            draws.append(torch.randn(shape, generator=own))
            noise.append(torch.randn(shape, generator=own))
        rows = collate(answering) if answering else None
        if rows and not self.length_weighted:
            rows = replace(rows, weights=rows.supervised.float())
        return Batch(
            answers=rows,
            instructions=collate([self.chats.chat_of(examples[place]) for place in making]) if making else None,
            targets=targets,
            references=[[] for _ in targets],
            target_draws=draws,
            reference_draws=[[] for _ in targets],
            noise=noise,
            times=torch.tensor(times),
            cells=self.network.config.transformer.patch_size**2,
        )

    def loss(self, batch: Batch, timestep_shift: TimeShift) -> LossSums:
        """See :meth:`UnifiedModel.loss`."""
        batch = batch.to(self.device)
        given = zip(batch.references, batch.reference_draws, strict=True)
        references = [self._encode(images, draws) for images, draws in given]
        latents = Latents(self._encode(batch.targets, batch.target_draws), references)
        with self.arithmetic():
            return LossSums(*self.network(batch, latents, timestep_shift))

    def _answer(
        self,
        images: Sequence[Image.Image],
        questions: Sequence[Sequence[str]],
        max_new_tokens: int,
        temperature: float,
        seed: int,
        system: str | None,
    ) -> list[list[str]]:
        """See :meth:`UnifiedModel.answer`. Each image is read once, whatever the number of its questions."""
        context = Context(self.network, [self.chats.shown(image, system) for image in images])
        rows = [index for index, asked in enumerate(questions) for _ in asked]
        context, first = self._asked(context.select(rows), [text for asked in questions for text in asked])
        draws = [seeded(seed, question) for asked in questions for question in asked]
        said = iter(continuations(context, first, self.chats.special.end, max_new_tokens, temperature, draws))
        return [[self.tokenizer.decode(next(said)).strip() for _ in asked] for asked in questions]

    def _score(self, image: Image.Image, question: str, options: Sequence[str]) -> list[float]:
        """See :meth:`UnifiedModel.score`."""
        context, first = self._asked(Context(self.network, [self.chats.shown(image)]), [question])
        context = context.select([0] * len(options))
        texts = [self.chats.ids(option) for option in options]
        return continuation_log_probability(context, first, self.chats.special.end, texts)

    def _generate(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        size: tuple[int, int],
        settings: GenerationSettings,
        images: Sequence[Image.Image] | None,
        edit: bool,
    ) -> list[Image.Image]:
        """See :meth:`UnifiedModel.generate`.

        A shown image stays in every guidance branch; an image to edit is missing from the last one. A size that the
        model does not make is made at the next smaller one it does, and scaled.
        """
        if settings.system:
            raise SgtError("generated image", "OmniGen2 does not think before it draws", "remove the system text")
        shown = [[] for _ in prompts] if images is None or edit else [[image] for image in images]
        given = [[] for _ in prompts]
        if images is not None and edit:
            given = [[self._reference(*about)] for about in zip(images, prompts, seeds, strict=True)]
        branches = [Branch(self._features(prompts, shown), given)]
        if settings.cfg_text_scale > 1:
            negative = self._features([settings.negative_prompt] * len(prompts), shown)
            if settings.cfg_image_scale > 1 and edit:
                branches.append(Branch(negative, given))
            branches.append(Branch(negative, [[] for _ in prompts]))
        width, height = self.vae_transform.size(size[1], size[0])
        shape = self._latent_shape(height, width)
        pairs = zip(prompts, seeds, strict=True)
        noise = torch.stack([torch.randn(shape, generator=seeded(seed, prompt)) for prompt, seed in pairs])
        latents = sample_latents(self.network.transformer, branches, noise.to(self.device), settings)
        pixels = self.vae.decode(latents.float())
        if (height, width) != tuple(size):
            pixels = torch.nn.functional.interpolate(pixels, size=tuple(size), mode="bilinear")
        return to_images(pixels)

    def _asked(self, context: Context, questions: Sequence[str]) -> tuple[Context, int]:
        """The context with a question read in each row, up to the token that every answer follows."""
        ids = [self.chats.question(text) for text in questions]
        context.read([row[:-1] for row in ids])
        return context, ids[0][-1]

    def _features(self, prompts: Sequence[str | None], shown: Sequence[Sequence[Image.Image]]) -> list[Tensor]:
        chats: list[Chat] = [self.chats.instruction(*about) for about in zip(prompts, shown, strict=True)]
        features, lengths = self.network.features(collate(chats).to(self.device))
        return list(features.split(lengths))

    def _latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        factor = self.vae.config.downsample
        return self.vae.config.z_channels, height // factor, width // factor

    def _reference(self, image: Image.Image, prompt: str, seed: int) -> Tensor:
        """The sampled latent of an image to edit; the draw depends on the prompt and its seed alone."""
        pixels = self.vae_transform(image).to(self.device)
        shape = self._latent_shape(*pixels.shape[1:])
        draw = torch.randn(shape, generator=seeded(seed, f"image to edit\n{prompt}")).to(pixels.device)
        return self._encode([pixels], [draw])[0]

    @torch.no_grad()
    def _encode(self, images: Sequence[Tensor], draws: Sequence[Tensor]) -> list[Tensor]:
        """Scaled latents of images (3, H, W), those of one size as one batch."""
        latents: list[Tensor] = [torch.empty(0)] * len(images)
        for size in dict.fromkeys(image.shape for image in images):
            alike = [place for place, image in enumerate(images) if image.shape == size]
            stacked = (torch.stack([of[place] for place in alike]) for of in (images, draws))
            for place, latent in zip(alike, self.vae.encode(*stacked), strict=True):
                latents[place] = latent
        return latents
