"""The losses of an OmniGen2."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from sgt.config.recipe import Part, TimeShift
from sgt.errors import SgtError
from sgt.models import flow
from sgt.models.examples import Example, InputImage, TargetImage
from sgt.models.flow import Stratum
from sgt.models.omnigen2.base import OmniGen2Base
from sgt.models.omnigen2.chats import has_target
from sgt.models.omnigen2.network import Batch, Latents
from sgt.models.omnigen2.rows import collate
from sgt.models.omnigen2.sizes import part_of
from sgt.models.omnigen2.tower import OmniGen2Tower
from sgt.models.trainable import LossSums, Trainable


class OmniGen2Training(OmniGen2Base, Trainable[Batch]):
    """See :class:`sgt.models.trainable.Trainable`."""

    def part(self, name: str) -> Part:
        """See :meth:`Trainable.part`."""
        return part_of(name)

    @property
    def blocks(self) -> list[nn.Module]:
        """See :meth:`Trainable.blocks`: layers of the vision tower, the language model and the transformer."""
        transformer, mllm = self.network.transformer, self.network.mllm.model
        refiners = [*transformer.context_refiner, *transformer.noise_refiner]
        return [*mllm.visual.blocks, *mllm.language_model.layers, *refiners, *transformer.layers]

    @property
    def tower(self) -> OmniGen2Tower:
        """See :attr:`Trainable.tower`."""
        return OmniGen2Tower(self)

    def activation_checkpointing(self, on: bool) -> None:
        """See :meth:`Trainable.activation_checkpointing`; of transformer and language model."""
        self.network.transformer.activation_checkpointing = on
        if on:
            self.network.mllm.activation_checkpointing_enable({"use_reentrant": False, "preserve_rng_state": False})
        else:
            self.network.mllm.activation_checkpointing_disable()

    def tokens(self, example: Example) -> int:
        """See :meth:`Trainable.tokens`. No pixel is read."""
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
        """See :meth:`Trainable.check`: the example's chat is built, its images without pixels."""
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
        generating = [place for place, example in enumerate(examples) if has_target(example)]
        answering = [self.chats.chat_of(example) for example in examples if not has_target(example)]
        targets, times, draws, noise = [], [], [], []
        for order, place in enumerate(generating):
            images = [part.image for part in examples[place] if isinstance(part, TargetImage)]
            if len(images) > 1:
                raise SgtError("example", "has more than one target image", "give one example per image")
            targets.append(self.vae_transform(images[0]))
            generator = torch.Generator().manual_seed(seeds[place])
            times.append(
                flow.draw_time(self.time_sampling, generator, strata[place] if strata else (order, len(generating)))
            )
            shape = self._latent_shape(*targets[-1].shape[1:])
            draws.append(torch.randn(shape, generator=generator))
            noise.append(torch.randn(shape, generator=generator))
        rows = collate(answering) if answering else None
        if rows and not self.length_weighted:
            rows = replace(rows, weights=rows.supervised.float())
        return Batch(
            answers=rows,
            instructions=collate([self.chats.chat_of(examples[place]) for place in generating]) if generating else None,
            targets=targets,
            references=[[] for _ in targets],
            target_draws=draws,
            reference_draws=[[] for _ in targets],
            noise=noise,
            times=torch.tensor(times),
            cells=self.network.config.transformer.patch_size**2,
        )

    def loss(self, batch: Batch, timestep_shift: TimeShift) -> LossSums:
        """See :meth:`Trainable.loss`."""
        ce, errors = self._errors(batch, timestep_shift)
        return LossSums(ce, sum(errors, torch.zeros_like(ce)) / self.network.config.transformer.token_dim)

    @torch.no_grad()
    def velocity_errors(self, examples: Sequence[Example], seeds: Sequence[int], time: float) -> Tensor:
        """See :meth:`Trainable.velocity_errors`."""
        batch = self.batch(examples, seeds)
        # A batch counts times from noise to data.
        errors = self._errors(replace(batch, times=torch.full_like(batch.times, 1 - time)), 1.0)[1]
        return (errors / torch.tensor([noise.numel() for noise in batch.noise], device=self.device)).cpu()

    def _errors(self, batch: Batch, timestep_shift: TimeShift) -> tuple[Tensor, Tensor]:
        """See :meth:`OmniGen2Network.forward`."""
        batch = batch.to(self.device)
        given = zip(batch.references, batch.reference_draws, strict=True)
        references = [self._encode(images, draws) for images, draws in given]
        latents = Latents(self._encode(batch.targets, batch.target_draws), references)
        with self.arithmetic():
            return self.network(batch, latents, timestep_shift)
