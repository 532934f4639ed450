"""BAGEL behind the common interface."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image
from tokenizers import Tokenizer
from torch import Tensor, nn

from sgt.config.recipe import Part
from sgt.errors import SgtError
from sgt.models.bagel.checkpoint import (
    SPECIAL,
    load_networks,
    networks_without_weights,
    save_networks,
    special_tokens,
)
from sgt.models.bagel.context import Context
from sgt.models.bagel.items import Aside, Item, PackedBatch, TextIds, VaeImage, VitImage
from sgt.models.bagel.layers import compile_layer
from sgt.models.bagel.network import BagelNetwork
from sgt.models.bagel.packing import Packer, pad_stack
from sgt.models.bagel.sampling import sample_latents
from sgt.models.bagel.sizes import part_of
from sgt.models.base import GenerationSettings, LossSums, UnifiedModel
from sgt.models.decoding import continuation_log_probability, continuations, seeded
from sgt.models.examples import Example, InputImage, QAPair, TargetImage, Text
from sgt.models.flow import Stratum
from sgt.models.lora import merge_lora
from sgt.models.tokenizer import load_tokenizer, with_special, without_special
from sgt.models.transforms import ImageTransform, to_images, to_tensor, transform_of
from sgt.models.vae import VAE

# The VAE encodes at most so many pixels at once: its activations take about 0.5 kB a pixel and level.
ENCODED_PIXELS = 4 * 2**20


class Bagel(UnifiedModel):
    """A BAGEL of any size: network, VAE, tokenizer and image transforms.

    Attributes:
        vqa_transform: of images that are asked about; that of all images that are shown, if it is not set.
    """

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
        self.special, self._plain = special_tokens(tokenizer), without_special(tokenizer)
        self.vit_transform, self.vae_transform = transform_of(vit_image), transform_of(vae_image)
        self.vqa_transform = self.vit_transform

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

    @classmethod
    def without_weights(cls, folder: Path, vit_image: Sequence[int], vae_image: Sequence[int]) -> "Bagel":
        """See :meth:`UnifiedModel.without_weights`."""
        tokenizer = with_special(load_tokenizer(folder), SPECIAL)
        return cls(*networks_without_weights(folder), tokenizer, folder, vit_image, vae_image)

    def save_checkpoint(self, folder: Path, weights: dict[str, Tensor] | None = None) -> None:
        """See :meth:`UnifiedModel.save_checkpoint`."""
        merged = merge_lora(self.network, {**self.network.state_dict(), **(weights or {})})
        save_networks(folder, self.network, self.vae, merged, self.tokenizer, self.folder)

    def part(self, name: str) -> Part:
        """See :meth:`UnifiedModel.part`."""
        return part_of(name)

    @property
    def blocks(self) -> list[nn.Module]:
        """See :meth:`UnifiedModel.blocks`: the layers of the vision encoder and of the decoder."""
        return [*self.network.vit_model.vision_model.encoder.layers, *self.network.language_model.model.layers]

    def activation_checkpointing(self, on: bool) -> None:
        """See :meth:`UnifiedModel.activation_checkpointing`; layer by layer, in the decoder and the vision encoder."""
        self.network.language_model.model.activation_checkpointing = on
        self.network.vit_model.vision_model.activation_checkpointing = on

    def compile(self) -> None:
        """See :meth:`UnifiedModel.compile`; layer by layer, in the decoder and the vision encoder."""
        network = self.network
        for layer in (*network.language_model.model.layers, *network.vit_model.vision_model.encoder.layers):
            compile_layer(layer)

    def ids(self, text: str) -> list[int]:
        """Token ids of a text; a marker in it is characters like any other."""
        return self._plain.encode(text, add_special_tokens=False).ids

    def tokens(self, example: Example) -> int:
        """See :meth:`UnifiedModel.tokens`. No pixel is touched."""
        return sum(self._tokens(part) for part in example)

    def check(self, example: Example) -> int:
        """See :meth:`UnifiedModel.check`: the example is packed, its images without pixels."""
        packer = Packer(self.network.config, self.special)
        packer.add([self._item(part, _without_pixels) for part in example])
        return packer.length

    def batch(
        self, examples: Sequence[Example], seeds: Sequence[int], strata: Sequence[Stratum] | None = None
    ) -> PackedBatch:
        """Pack examples into one sequence. Per image: the flow's time, never stratified, the VAE's and flow's noise."""
        config, packer = self.network.config, Packer(self.network.config, self.special)
        normals, vae_noise, flow_noise = [], [], []
        for example, seed in zip(examples, seeds, strict=True):
            items = [self._item(part) for part in example]
            packer.add(items)
            draws = torch.Generator().manual_seed(seed)
            for item in items:
                if not isinstance(item, VaeImage):
                    continue
                height, width = item.pixels.shape[1:]
                if item.loss:
                    normals.append(torch.randn((), generator=draws).item())
                cells = config.vae.z_channels, height // config.vae.downsample, width // config.vae.downsample
                vae_noise.append(torch.randn(cells, generator=draws))
                tokens = (height // config.latent_stride) * (width // config.latent_stride)
                flow_noise.append(torch.randn(tokens, config.latent_dim, generator=draws))
        vae_shape, flow_shape = packer.noise_shapes()
        batch = packer.batch(
            normals,
            pad_stack(vae_noise) if vae_noise else torch.zeros(vae_shape),
            torch.cat(flow_noise) if flow_noise else torch.zeros(flow_shape),
        )
        return batch if self.length_weighted else replace(batch, ce_loss_weights=torch.ones_like(batch.ce_loss_weights))

    def loss(self, batch: PackedBatch, timestep_shift: float) -> LossSums:
        """See :meth:`UnifiedModel.loss`."""
        batch = batch.to(self.device)
        latents = self._latents(batch)
        with self.arithmetic():
            losses = self.network(batch, latents, timestep_shift)
        return LossSums((losses.ce * batch.ce_loss_weights).sum(), losses.mse.mean(1).sum())

    @torch.no_grad()
    def _latents(self, batch: PackedBatch) -> Tensor:
        """(images, z, H, W) scaled latents, each of its image alone: padding would leak into the norms of the VAE."""
        config, latents = self.network.config, torch.zeros_like(batch.vae_sample_noise)
        by_shape = defaultdict(list)
        for index, shape in enumerate(batch.patchified_vae_latent_shapes):
            by_shape[shape].append(index)
        for (h, w), alike in by_shape.items():
            height, width = h * config.latent_stride, w * config.latent_stride
            rows, columns = height // config.vae.downsample, width // config.vae.downsample
            for start in range(0, len(alike), at_once := max(1, ENCODED_PIXELS // (height * width))):
                some = alike[start : start + at_once]
                noise = batch.vae_sample_noise[some, :, :rows, :columns]
                encoded = self.vae.encode(batch.padded_images[some, :, :height, :width], noise)
                latents[some, :, :rows, :columns] = encoded
        return latents

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
        context = self._context(len(images), system)
        context.add_vit([self.vqa_transform(image) for image in images])
        rows = [index for index, asked in enumerate(questions) for _ in asked]
        context = context.select(rows)
        context.add_text([self.ids(question) for asked in questions for question in asked])
        draws = [seeded(seed, question) for asked in questions for question in asked]
        said = iter(continuations(context, self.special.bos, self.special.eos, max_new_tokens, temperature, draws))
        return [[self.tokenizer.decode(next(said)).strip() for _ in asked] for asked in questions]

    def _score(self, image: Image.Image, question: str, options: Sequence[str]) -> list[float]:
        """See :meth:`UnifiedModel.score`."""
        context = Context(self.network, self.special, 1)
        context.add_vit([self.vqa_transform(image)])
        context.add_text([self.ids(question)])
        context = context.select([0] * len(options))
        texts = [self.ids(option) for option in options]
        return continuation_log_probability(context, self.special.bos, self.special.eos, texts)

    def _generate(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        size: tuple[int, int],
        settings: GenerationSettings,
        images: Sequence[Image.Image] | None,
        edit: bool,
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
            thinking, markers = full.select(range(len(prompts))), (self.special.bos, self.special.eos)
            # Its own markers and the image come after a thought.
            full.add_text(continuations(thinking, *markers, settings.think_tokens, reserve=3))
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

    def _tokens(self, part: InputImage | Text | QAPair | TargetImage) -> int:
        match part:
            case InputImage(image, asked):
                transform = self.vqa_transform if asked else self.vit_transform
                width, height = transform.size(*image.size)
                return (width // transform.stride) * (height // transform.stride) + 2
            case TargetImage(image):
                width, height = self.vae_transform.size(*image.size)
                stride = self.network.config.latent_stride
                return (width // stride) * (height // stride) + 2
            case Text(text):
                return len(self.ids(text)) + 2
            case QAPair(question, answer):
                return len(self.ids(question)) + len(self.ids(answer)) + 4

    def _item(
        self,
        part: InputImage | Text | QAPair | TargetImage,
        pixels: Callable[[ImageTransform, Image.Image], Tensor] = ImageTransform.__call__,
    ) -> Item:
        match part:
            case InputImage(image, asked):
                return VitImage(pixels(self.vqa_transform if asked else self.vit_transform, image))
            case Text(text, supervised):
                return TextIds(self.ids(text), supervised)
            case QAPair(question, answer):
                return Aside((TextIds(self.ids(question)), TextIds(self.ids(answer), loss=True)))
            case TargetImage(image):
                return VaeImage(pixels(self.vae_transform, image), loss=True)


def _without_pixels(transform: ImageTransform, image: Image.Image) -> Tensor:
    """What a transform makes of an image, in shape alone."""
    return torch.empty(3, *transform.size(*image.size)[::-1], device="meta")
