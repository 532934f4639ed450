"""The losses of a BAGEL: examples packed into one sequence."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from PIL import Image
from torch import Tensor, nn

from sgt.config.recipe import Part, TimeShift
from sgt.models.bagel.base import BagelBase
from sgt.models.bagel.items import Aside, Item, PackedBatch, TextIds, VaeImage, VitImage
from sgt.models.bagel.layers import compile_layer
from sgt.models.bagel.packing import Packer, pad_stack
from sgt.models.bagel.rules import constant_shift
from sgt.models.bagel.sizes import part_of
from sgt.models.bagel.tower import BagelTower
from sgt.models.examples import Example, InputImage, QAPair, TargetImage, Text
from sgt.models.flow import Stratum
from sgt.models.trainable import LossSums, Trainable
from sgt.models.transforms import ImageTransform


class BagelTraining(BagelBase, Trainable[PackedBatch]):
    """See :class:`sgt.models.trainable.Trainable`."""

    def part(self, name: str) -> Part:
        """See :meth:`Trainable.part`."""
        return part_of(name)

    @property
    def blocks(self) -> list[nn.Module]:
        """See :meth:`Trainable.blocks`: the layers of the vision encoder and of the decoder."""
        return [*self.network.vit_model.vision_model.encoder.layers, *self.network.language_model.model.layers]

    @property
    def tower(self) -> BagelTower:
        """See :attr:`Trainable.tower`."""
        return BagelTower(self)

    def activation_checkpointing(self, on: bool) -> None:
        """See :meth:`Trainable.activation_checkpointing`; layer by layer, in the decoder and the vision encoder."""
        self.network.language_model.model.activation_checkpointing = on
        self.network.vit_model.vision_model.activation_checkpointing = on

    def compile(self) -> None:
        """See :meth:`Trainable.compile`; layer by layer, in the decoder and the vision encoder."""
        network = self.network
        for layer in (*network.language_model.model.layers, *network.vit_model.vision_model.encoder.layers):
            compile_layer(layer)

    def tokens(self, example: Example) -> int:
        """See :meth:`Trainable.tokens`. No pixel is read."""
        return sum(self._tokens(part) for part in example)

    def check(self, example: Example) -> int:
        """See :meth:`Trainable.check`: the example is packed, its images without pixels."""
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

    def loss(self, batch: PackedBatch, timestep_shift: TimeShift) -> LossSums:
        """See :meth:`Trainable.loss`; the shift is a number."""
        batch = batch.to(self.device)
        latents = self._latents(batch)
        with self.arithmetic():
            losses = self.network(batch, latents, constant_shift(timestep_shift))
        return LossSums((losses.ce * batch.ce_loss_weights).sum(), losses.mse.mean(1).sum())

    @torch.no_grad()
    def velocity_errors(self, examples: Sequence[Example], seeds: Sequence[int], time: float) -> Tensor:
        """See :meth:`Trainable.velocity_errors`."""
        batch = self.batch(examples, seeds).to(self.device)
        # The network takes times as normals, of which the time is the sigmoid.
        times = torch.full_like(batch.packed_timesteps, time).logit()
        with self.arithmetic():
            errors = self.network(replace(batch, packed_timesteps=times), self._latents(batch), 1.0).mse.mean(1)
        tokens = [height * width for height, width in batch.patchified_vae_latent_shapes]
        return torch.stack([each.mean() for each in errors.split(tokens)]).cpu()

    @torch.no_grad()
    def _latents(self, batch: PackedBatch) -> Tensor:
        """(images, z, H, W) scaled latents, each of its image alone: padding would leak into the norms of the VAE."""
        config, latents = self.network.config, torch.zeros_like(batch.vae_sample_noise)
        by_shape = defaultdict(list)
        for index, shape in enumerate(batch.patchified_vae_latent_shapes):
            by_shape[shape].append(index)
        for (h, w), indexes in by_shape.items():
            height, width = h * config.latent_stride, w * config.latent_stride
            rows, columns = height // config.vae.downsample, width // config.vae.downsample
            noise = batch.vae_sample_noise[indexes, :, :rows, :columns]
            encoded = self.vae.encode(batch.padded_images[indexes, :, :height, :width], noise)
            latents[indexes, :, :rows, :columns] = encoded
        return latents

    def _tokens(self, part: InputImage | Text | QAPair | TargetImage) -> int:
        match part:
            case InputImage(image, vqa):
                transform = self.vqa_transform if vqa else self.vit_transform
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
            case InputImage(image, vqa):
                return VitImage(pixels(self.vqa_transform if vqa else self.vit_transform, image))
            case Text(text, supervised):
                return TextIds(self.ids(text), supervised)
            case QAPair(question, answer):
                return Aside((TextIds(self.ids(question)), TextIds(self.ids(answer), loss=True)))
            case TargetImage(image):
                return VaeImage(pixels(self.vae_transform, image), loss=True)


def _without_pixels(transform: ImageTransform, image: Image.Image) -> Tensor:
    """A transformed image's shape, without its pixels."""
    return torch.empty(3, *transform.size(*image.size)[::-1], device="meta")
