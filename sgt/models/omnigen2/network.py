"""All weights of an OmniGen2 but the VAE, and the losses of a training batch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sgt.config.recipe import TimeShift
from sgt.models import flow
from sgt.models.omnigen2.config import OmniGen2Config
from sgt.models.omnigen2.language import encode_images, hidden_states, text_errors
from sgt.models.omnigen2.prompts import SpecialTokens
from sgt.models.omnigen2.rows import Chat, Rows, collate
from sgt.models.omnigen2.transformer import OmniGen2Transformer
from sgt.models.vocabulary import grow_rows

if TYPE_CHECKING:
    from transformers import Qwen2_5_VLForConditionalGeneration


@dataclass(frozen=True)
class Batch:
    """Examples of one step, with every random draw of their losses.

    Attributes:
        answers: chats with supervised answers, if there are any.
        instructions: chats that images are generated from, one per target, if there are any.
        targets, references: images (3, H, W) in [-1, 1], the latter any number per target.
        target_draws, reference_draws: the VAE's noise (z, h, w) for each of those.
        noise: the flow's noise (z, h, w) per target.
        times: fp32 (targets,), unshifted, 0 for noise, 1 for data.
        cells: latent cells per token.
    """

    answers: Rows | None
    instructions: Rows | None
    targets: list[Tensor]
    references: list[list[Tensor]]
    target_draws: list[Tensor]
    reference_draws: list[list[Tensor]]
    noise: list[Tensor]
    times: Tensor
    cells: int

    @property
    def tokens(self) -> int:
        """Tokens of the language model and of the targets' latents, in all."""
        chats = [rows for rows in (self.answers, self.instructions) if rows]
        return sum(sum(rows.lengths) for rows in chats) + self.mse_tokens

    @property
    def ce_tokens(self) -> float:
        """Supervised text tokens, each counted by its weight."""
        return float(self.answers.loss_weights.sum()) if self.answers else 0.0

    @property
    def mse_tokens(self) -> int:
        """Latent tokens of the targets."""
        return sum(latent[0].numel() for latent in self.noise) // self.cells

    def to(self, device: torch.device | str) -> "Batch":
        """The batch with every tensor on ``device``."""
        return Batch(
            self.answers and self.answers.to(device),
            self.instructions and self.instructions.to(device),
            [image.to(device) for image in self.targets],
            [[image.to(device) for image in given] for given in self.references],
            [draw.to(device) for draw in self.target_draws],
            [[draw.to(device) for draw in given] for given in self.reference_draws],
            [noise.to(device) for noise in self.noise],
            self.times.to(device),
            self.cells,
        )


@dataclass(frozen=True)
class Latents:
    """Scaled latents (z, h, w) of a batch, fp32; in a class, since FSDP would cast tensors among the arguments to bf16.

    Attributes:
        targets: one per target image.
        references: any number per target.
    """

    targets: list[Tensor]
    references: list[list[Tensor]]


@dataclass(frozen=True)
class FlowErrors:
    """The terms of the flow loss, per target.

    Attributes:
        t: fp32 (targets,), shifted times, 0 for noise.
        noisy, velocities, predicted: (z, h, w): noisy latents, their velocities, and the transformer's predictions.
    """

    t: Tensor
    noisy: list[Tensor]
    velocities: list[Tensor]
    predicted: list[Tensor]

    @property
    def squared(self) -> list[Tensor]:
        """Squared errors (z, h, w), fp32."""
        return [(p.float() - v).square() for p, v in zip(self.predicted, self.velocities, strict=True)]


class OmniGen2Network(nn.Module):
    """The weights of ``transformer/`` and ``mllm/``."""

    def __init__(
        self, config: OmniGen2Config, transformer: OmniGen2Transformer, mllm: "Qwen2_5_VLForConditionalGeneration"
    ) -> None:
        super().__init__()
        self.config = config
        self.transformer, self.mllm = transformer, mllm

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.transformer.device

    def grow_vocabulary(self, rows: int) -> None:
        """Give the embedding and the head, which may share a weight, at least ``rows`` rows."""
        embedding, head = self.mllm.model.language_model.embed_tokens, self.mllm.lm_head
        tied = self.mllm.config.tie_word_embeddings
        grow_rows([embedding] if tied else [embedding, head], rows)
        if tied:
            head.weight = embedding.weight
        if rows > self.config.mllm["vocab_size"]:
            self.config = replace(self.config, mllm={**self.config.mllm, "vocab_size": rows})

    def forward(self, batch: Batch, latents: Latents, shift: TimeShift) -> tuple[Tensor, Tensor]:
        """Text and flow errors of a batch.

        Every part that is trained gets a gradient, of zero if the batch has nothing for it. Processes over which FSDP
        spreads the weights must also run every block equally often: each runs one pass of the vision tower, two of the
        language model (answers, instructions) and one of the transformer. What a batch lacks is replaced by a smallest
        input that does not change the losses.

        Args:
            batch: on this device.
            latents: of its images.
            shift: of the times.

        Returns:
            The weighted sum of the text errors, a scalar, and the summed squared velocity error of each target.
        """
        from torch.distributed.fsdp import FSDPModule  # slow to import

        spread = isinstance(self, FSDPModule)

        def always_runs(part: nn.Module) -> bool:
            return spread or (torch.is_grad_enabled() and any(p.requires_grad for p in part.parameters()))

        answers, instructions, noise, times = batch.answers, batch.instructions, batch.noise, batch.times
        makes = instructions is not None
        if answers is None and always_runs(self.mllm.lm_head):
            answers = self._least_rows()
        if not makes and always_runs(self.transformer):
            side = self.config.transformer.patch_size
            noise = [torch.zeros(self.config.transformer.in_channels, side, side, device=self.device)]
            instructions, latents = self._least_rows(), Latents(noise, [[]])
            times = torch.zeros(1, device=self.device)
        runs_tower = always_runs(self.mllm.model.visual)
        image_features = self._image_features(answers, instructions, runs_tower, spread)
        ce, squared = torch.zeros((), device=self.device), torch.zeros(0, device=self.device)
        if answers:
            ce = (self.text_errors(answers, image_features[0]) * answers.loss_weights).sum()
        if instructions:
            text = self.features(instructions, image_features[1])
            errors = self.flow_errors(*text, latents.targets, noise, times, shift, latents.references)
            squared = torch.stack([error.sum() for error in errors.squared]) * makes
        return ce, squared

    def _image_features(
        self, answers: Rows | None, instructions: Rows | None, always_runs: bool, spread: bool
    ) -> tuple[Tensor, Tensor]:
        """The vision tower's features of the images of both, in one pass: (tokens, width) each.

        Args:
            answers, instructions: chats.
            always_runs: without images too; both results are then a row of zeros, for the tower's gradient.
            spread: both results end in such a row anyway, so that the tower's backward pass comes last everywhere.
        """
        vision = self.mllm.model.visual
        kinds = [rows for rows in (answers, instructions) if rows and len(rows.grids)]
        none = torch.zeros(0, self.mllm.model.language_model.config.hidden_size, device=self.device)
        if kinds:
            found = encode_images(
                self.mllm, torch.cat([rows.pixels for rows in kinds]), torch.cat([rows.grids for rows in kinds])
            )
        elif always_runs:
            side = vision.config.spatial_merge_size
            width = vision.config.in_channels * vision.config.temporal_patch_size * vision.config.patch_size**2
            pixels = torch.zeros(side**2, width, device=self.device)
            found = encode_images(self.mllm, pixels, torch.tensor([[1, side, side]], device=self.device))
        else:
            return none, none
        counts = [self._image_tokens(rows) for rows in (answers, instructions)]
        first, second = found[: counts[0]], found[counts[0] : sum(counts)]
        if spread or not kinds:
            first, second = (torch.cat([part, 0 * found[:1]]) for part in (first, second))
        return first, second

    def _image_tokens(self, rows: Rows | None) -> int:
        cells = self.mllm.model.visual.config.spatial_merge_size**2
        return len(rows.pixels) // cells if rows else 0

    def _least_rows(self) -> Rows:
        """One token of padding, not supervised."""
        chat = Chat(SpecialTokens(0, 0, -1), 1)
        chat.add([0])
        return collate([chat]).to(self.device)

    def text_errors(self, rows: Rows, image_features: Tensor | None = None) -> Tensor:
        """Cross-entropy of every supervised token, nats; see :func:`sgt.models.omnigen2.language.embed`."""
        return text_errors(self.mllm, hidden_states(self.mllm, rows, image_features), rows.labels)

    def features(self, rows: Rows, image_features: Tensor | None = None) -> tuple[Tensor, list[int]]:
        """The transformer's text features: states of all tokens, one chat after another; and tokens per chat."""
        return hidden_states(self.mllm, rows, image_features)[rows.filled], rows.lengths

    def flow_errors(
        self,
        features: Tensor,
        lengths: list[int],
        latents: Sequence[Tensor],
        noise: Sequence[Tensor],
        times: Tensor,
        shift: TimeShift,
        references: Sequence[Sequence[Tensor]] | None = None,
    ) -> FlowErrors:
        """Errors of the velocity (``omnigen2.md`` 3).

        Args:
            features, lengths: see :meth:`features`.
            latents: scaled latents (z, h, w) of the targets.
            noise: of the same shapes.
            times: fp32 (targets,), unshifted, 0 for noise.
            shift: of the times; by each image's own size if it is dynamic.
            references: scaled latents per target.
        """
        cells = self.config.transformer.patch_size**2
        factors = [flow.shift_factor(shift, latent[0].numel() // cells) for latent in latents]
        backwards = flow.shift_time(1 - times, torch.tensor(factors, device=times.device))
        pairs = list(zip(latents, noise, backwards, strict=True))
        noisy = [flow.interpolate(latent, start, t) for latent, start, t in pairs]
        text = self.transformer.read_text(features, lengths)
        predicted = self.transformer(text, lengths, noisy, 1 - backwards, references)
        velocities = [-flow.velocity(latent, start) for latent, start, _ in pairs]
        return FlowErrors(1 - backwards, noisy, velocities, predicted)
