"""BAGEL behind the common interface."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from tokenizers import Tokenizer
from torch import Tensor

from sgt.errors import SgtError
from sgt.models.bagel.checkpoint import SPECIAL, load_networks, save_networks, special_tokens
from sgt.models.bagel.context import Context
from sgt.models.bagel.layers import compile_layer
from sgt.models.bagel.network import BagelNetwork
from sgt.models.bagel.packing import Aside, Item, PackedBatch, Packer, Text, VaeImage, VitImage
from sgt.models.bagel.sampling import continuation_log_probability, continuations, sample_latents
from sgt.models.bagel.sizes import part_of
from sgt.models.base import (
    Example,
    Exchange,
    GenerationSettings,
    LossTerms,
    MadeImage,
    SeenImage,
    UnifiedModel,
    Words,
    inference,
)
from sgt.models.lora import merge_lora
from sgt.models.tokenizer import load_tokenizer, with_special
from sgt.models.transforms import to_images, to_tensor, transform_of
from sgt.models.vae import VAE
from sgt.study.recipe import Part


class Bagel(UnifiedModel):
    """A BAGEL of any size: network, VAE, tokenizer and image transforms."""

    def __init__(
        self,
        network: BagelNetwork,
        vae: VAE,
        tokenizer: Tokenizer,
        folder: Path,
        vit_image: Sequence[int],
        vae_image: Sequence[int],
    ) -> None:
        self.network, self.vae, self.tokenizer, self.folder = network, vae, tokenizer, folder
        self.special = special_tokens(tokenizer)
        self.vit_transform, self.vae_transform = transform_of(vit_image), transform_of(vae_image)

    @classmethod
    def from_checkpoint(
        cls,
        folder: Path,
        vit_image: Sequence[int],
        vae_image: Sequence[int],
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        overlay: Path | None = None,
    ) -> "Bagel":
        """See :meth:`UnifiedModel.from_checkpoint`."""
        folder = Path(folder)
        network, vae = load_networks(folder, dtype, device, overlay)
        tokenizer = with_special(load_tokenizer(folder), SPECIAL)
        network.grow_vocabulary(max(tokenizer.token_to_id(token) for token in SPECIAL) + 1)
        return cls(network, vae, tokenizer, folder, vit_image, vae_image)

    def save_checkpoint(self, folder: Path, weights: dict[str, Tensor] | None = None) -> None:
        """See :meth:`UnifiedModel.save_checkpoint`."""
        merged = merge_lora(self.network, {**self.network.state_dict(), **(weights or {})})
        save_networks(folder, self.network, self.vae, merged, self.tokenizer, self.folder)

    def part(self, name: str) -> Part:
        """See :meth:`UnifiedModel.part`."""
        return part_of(name)

    def recompute(self, on: bool) -> None:
        """See :meth:`UnifiedModel.recompute`; layer by layer, in the decoder and the vision encoder."""
        self.network.language_model.model.recompute = on
        self.network.vit_model.vision_model.recompute = on

    def compile(self) -> None:
        """See :meth:`UnifiedModel.compile`; layer by layer, in the decoder and the vision encoder."""
        network = self.network
        for layer in (*network.language_model.model.layers, *network.vit_model.vision_model.encoder.layers):
            compile_layer(layer)

    def ids(self, text: str) -> list[int]:
        """Token ids of a text, without markers."""
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def batch(self, examples: Sequence[Example], generator: torch.Generator) -> PackedBatch:
        """Pack examples into one sequence; draws the flow's times and noise and the VAE's noise, in that order."""
        packer = Packer(self.network.config, self.special)
        for example in examples:
            packer.add([self._item(part) for part in example])
        normals = torch.randn(packer.targets, generator=generator).tolist()
        vae_shape, flow_shape = packer.noise_shapes()
        vae_noise = torch.randn(vae_shape, generator=generator)
        return packer.batch(normals, vae_noise, torch.randn(flow_shape, generator=generator))

    def loss(self, batch: PackedBatch, timestep_shift: float) -> LossTerms:
        """See :meth:`UnifiedModel.loss`."""
        batch = batch.to(self.device)
        with torch.no_grad():
            latents = (
                self.vae.encode(batch.padded_images, batch.vae_sample_noise)
                if len(batch.padded_images)
                else (batch.vae_sample_noise)
            )
        with self.arithmetic():
            losses = self.network(batch, latents, timestep_shift)
        zero = losses.ce.new_zeros(())
        weights = batch.ce_loss_weights if self.length_weighted else torch.ones_like(losses.ce)
        return LossTerms(
            (losses.ce * weights).sum() / weights.sum() if len(losses.ce) else zero,
            losses.mse.mean() if len(losses.mse) else zero,
            len(losses.ce),
            len(losses.mse),
        )

    @inference
    def answer(
        self,
        images: Sequence[Image.Image],
        questions: Sequence[Sequence[str]],
        max_new_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
        system: str | None = None,
    ) -> list[list[str]]:
        """See :meth:`UnifiedModel.answer`. Each image is read once, whatever the number of its questions."""
        context = self._context(len(images), system)
        context.add_vit([self.vit_transform(image) for image in images])
        rows = [index for index, asked in enumerate(questions) for _ in asked]
        context = context.select(rows)
        context.add_text([self.ids(question) for asked in questions for question in asked])
        draws = [seeded(seed, question) for asked in questions for question in asked]
        said = iter(continuations(context, max_new_tokens, temperature, draws))
        return [[self.tokenizer.decode(next(said)).strip() for _ in asked] for asked in questions]

    @inference
    def score(self, image: Image.Image, question: str, options: Sequence[str]) -> list[float]:
        """See :meth:`UnifiedModel.score`."""
        context = Context(self.network, self.special, 1)
        context.add_vit([self.vit_transform(image)])
        context.add_text([self.ids(question)])
        return continuation_log_probability(context.select([0] * len(options)), [self.ids(o) for o in options])

    @inference
    def generate(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        size: tuple[int, int],
        settings: GenerationSettings,
        images: Sequence[Image.Image] | None = None,
        edit: bool = False,
    ) -> list[Image.Image]:
        """See :meth:`UnifiedModel.generate`. An image to edit is first scaled as one to make, then for the encoder."""
        config = self.network.config
        if any(side % config.latent_stride for side in size):
            problem = f"{size[0]}x{size[1]} pixels are not multiples of {config.latent_stride}"
            raise SgtError("generated image", problem, "choose another size")
        full, image_free = (self._context(len(prompts), settings.system) for _ in range(2))
        if images is not None:
            if edit:
                images = [self.vae_transform.resize(image) for image in images]
                full.add_latents([self._latent(*given) for given in zip(images, prompts, seeds, strict=True)])
            full.add_vit([self.vit_transform(image) for image in images])
        text_free = full.select(range(len(prompts)))
        for context in (full, image_free):
            context.add_text([self.ids(prompt) for prompt in prompts])
        if settings.system:
            full.add_text(continuations(full.select(range(len(prompts))), settings.think_tokens))
        shape = size[0] // config.latent_stride, size[1] // config.latent_stride
        tokens = shape[0] * shape[1]
        noise = torch.cat(
            [
                torch.randn(tokens, config.latent_dim, generator=seeded(seed, prompt))
                for prompt, seed in zip(prompts, seeds, strict=True)
            ]
        ).to(full.device)
        x = sample_latents(full, text_free, image_free, noise, shape, settings)
        latents = torch.stack([self.network.unpatchify(part, shape) for part in x.split(tokens)])
        return to_images(self.vae.decode(latents.float()))

    def _context(self, rows: int, system: str | None) -> Context:
        """A context of so many rows, each of which begins with the system text if there is one."""
        context = Context(self.network, self.special, rows)
        if system:
            context.add_text([self.ids(system)] * rows)
        return context

    def _latent(self, image: Image.Image, prompt: str, seed: int) -> Tensor:
        """The sampled latent (z, H, W) of one image; the draw depends on the prompt and its seed alone."""
        pixels = to_tensor(image)[None].to(self.device)
        shape = (1, self.vae.config.z_channels, *(side // self.vae.config.downsample for side in pixels.shape[2:]))
        noise = torch.randn(shape, generator=seeded(seed, f"image to edit\n{prompt}"))
        return self.vae.encode(pixels, noise.to(pixels.device))[0]

    def _item(self, part: SeenImage | Words | Exchange | MadeImage) -> Item:
        match part:
            case SeenImage(image):
                return VitImage(self.vit_transform(image))
            case Words(text, learned):
                return Text(self.ids(text), learned)
            case Exchange(question, answer):
                return Aside((Text(self.ids(question)), Text(self.ids(answer), loss=True)))
            case MadeImage(image):
                return VaeImage(self.vae_transform(image), loss=True)


def seeded(seed: int, text: str) -> torch.Generator:
    """A generator that depends on a seed and a text alone: not on the batch, rank or device."""
    digest = hashlib.sha256(f"{seed}\n{text}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
