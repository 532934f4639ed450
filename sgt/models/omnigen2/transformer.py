"""The diffusion transformer: velocities of latents, given text features and reference latents (``omnigen2.md`` 3)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sgt.errors import SgtError
from sgt.models.attention import Layout, full_layout, grid, make_layout
from sgt.models.layers import rerun
from sgt.models.omnigen2.config import TransformerConfig
from sgt.models.omnigen2.layers import TextBlock, TimeCaptionEmbedding, TimedBlock, TimedOutput, rotary
from sgt.models.transforms import from_patches, patches

REFERENCES = 5
# A text or an image: its sample, the place of its first token there, and its tokens' positions.
Placed = tuple[int, int, Tensor]


@dataclass(frozen=True)
class Tokens:
    """Where some tokens, which lie one after another, belong.

    Attributes:
        sample: int64 (N,).
        place: int64 (N,), in the joint sequence of the sample: text, references, image.
        positions: int64 (N, 3), on the three rotary axes.
        lengths: of the texts or images they form.
    """

    sample: Tensor
    place: Tensor
    positions: Tensor
    lengths: list[int]


class OmniGen2Transformer(nn.Module):
    """The weights of ``transformer/``."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        width, refiners = config.hidden_size, range(config.num_refiner_layers)
        self.x_embedder = nn.Linear(config.token_dim, width)
        self.ref_image_patch_embedder = nn.Linear(config.token_dim, width)
        self.image_index_embedding = nn.Parameter(torch.zeros(REFERENCES, width))
        self.time_caption_embed = TimeCaptionEmbedding(config)
        self.noise_refiner = nn.ModuleList(TimedBlock(config) for _ in refiners)
        self.ref_image_refiner = nn.ModuleList(TimedBlock(config) for _ in refiners)
        self.context_refiner = nn.ModuleList(TextBlock(config) for _ in refiners)
        self.layers = nn.ModuleList(TimedBlock(config) for _ in range(config.num_layers))
        self.norm_out = TimedOutput(config)
        self.activation_checkpointing = False

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.image_index_embedding.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return self.image_index_embedding.dtype

    def read_text(self, features: Tensor, lengths: list[int]) -> Tensor:
        """Text features as tokens; they do not depend on time, so that sampling reads them once.

        Args:
            features: (N, text width), the texts one after another.
            lengths: tokens per text.

        Returns:
            (N, width).

        Raises:
            SgtError: a text is longer than the first rotary axis.
        """
        if max(lengths) > self.config.axes_lens[0]:
            problem = f"{max(lengths)} positions exceed the context of {self.config.axes_lens[0]}"
            raise SgtError("prompt", problem, "use a shorter text or fewer images")
        x = self.time_caption_embed.caption_embedder(features)
        column = grid(lengths)[1]
        rotation = self._rotation(column[:, None].expand(-1, 3))
        layout = full_layout(lengths, x.device)
        for block in self.context_refiner:
            x = self._run(block, x, rotation, layout)
        return x

    def forward(
        self,
        text: Tensor,
        text_lengths: list[int],
        latents: Sequence[Tensor],
        t: Tensor,
        references: Sequence[Sequence[Tensor]] | None = None,
    ) -> list[Tensor]:
        """Velocity, data − noise, of each sample's latent.

        Args:
            text: what :meth:`read_text` gave.
            text_lengths: tokens per sample.
            latents: noisy latents (z, h, w), one per sample; sizes may differ.
            t: (samples,), from 0, noise, to 1, data.
            references: clean latents per sample, up to five.

        Raises:
            SgtError: an image or the sequence is larger than a rotary axis, or there are too many references.
        """
        references = references or [[] for _ in latents]
        words, shown, made = self._places(text_lengths, references, latents)
        time = self.time_caption_embed.timestep_embedder(t * self.config.timestep_scale)
        joint, parts = [words], [text]
        if shown.lengths:
            tokens = self._cut([latent for given in references for latent in given])
            index = torch.cat([torch.arange(len(given)) for given in references])
            index = index.repeat_interleave(torch.tensor(shown.lengths)).to(self.device)
            embedded = self.ref_image_patch_embedder(tokens) + self.image_index_embedding[index]
            joint.append(shown)
            parts.append(self._refine(self.ref_image_refiner, embedded, shown, time))
        joint.append(made)
        parts.append(self._refine(self.noise_refiner, self.x_embedder(self._cut(latents)), made, time))
        sample = torch.cat([part.sample for part in joint])
        lengths = torch.bincount(sample).tolist()
        layout = _joint_layout(sample, torch.cat([part.place for part in joint]), lengths, self.device)
        rotation = self._rotation(torch.cat([part.positions for part in joint]))
        x, sample = torch.cat(parts), sample.to(self.device)
        for block in self.layers:
            x = self._run(block, x, rotation, layout, time, sample)
        x = self.norm_out(x, time, sample)[-sum(made.lengths) :]
        cut = self.config.patch_size
        shapes = [(latent.shape[1] // cut, latent.shape[2] // cut) for latent in latents]
        return [from_patches(part, shape, cut) for part, shape in zip(x.split(made.lengths), shapes, strict=True)]

    def _cut(self, latents: Sequence[Tensor]) -> Tensor:
        """Latents as tokens, one after another."""
        return torch.cat([patches(latent, self.config.patch_size) for latent in latents]).to(self.dtype)

    def _places(
        self, text_lengths: list[int], references: Sequence[Sequence[Tensor]], latents: Sequence[Tensor]
    ) -> tuple[Tokens, Tokens, Tokens]:
        """Places of the text, reference and image tokens."""
        cut = self.config.patch_size
        texts: list[Placed] = []
        shown: list[Placed] = []
        made: list[Placed] = []
        for sample, (length, given, latent) in enumerate(zip(text_lengths, references, latents, strict=True)):
            if len(given) > REFERENCES:
                raise SgtError("reference images", f"{len(given)} are more than {REFERENCES}", "give fewer")
            texts.append((sample, 0, torch.arange(length)[:, None].expand(-1, 3)))
            place = shift = length
            for image in (*given, latent):
                placed, what = (made, "generated image") if image is latent else (shown, "reference image")
                height, width = image.shape[1] // cut, image.shape[2] // cut
                self.check_place(what, shift, height, width)
                rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
                where = torch.stack([torch.full_like(rows, shift), rows, columns], dim=-1).flatten(0, 1)
                placed.append((sample, place, where))
                place, shift = place + height * width, shift + max(height, width)
        return _tokens(texts), _tokens(shown), _tokens(made)

    def check_place(self, what: str, position: int, height: int, width: int) -> None:
        """See that an image of (height, width) tokens can stand at a position.

        Raises:
            SgtError: it is larger than a rotary axis.
        """
        axes = self.config.axes_lens
        if position >= axes[0]:
            problem = f"{position} positions exceed the context of {axes[0]}"
        elif height > axes[1] or width > axes[2]:
            problem = f"{height}x{width} tokens exceed the {axes[1]}x{axes[2]} position table"
        else:
            return
        raise SgtError(what, problem, "use a smaller image or a shorter text")

    def _rotation(self, positions: Tensor) -> Tensor:
        return rotary(positions, self.config.axes_dim_rope).to(torch.complex64).to(self.device)

    def _refine(self, blocks: nn.ModuleList, x: Tensor, tokens: Tokens, time: Tensor) -> Tensor:
        """Blocks in which every image attends to itself alone."""
        rotation, layout = self._rotation(tokens.positions), full_layout(tokens.lengths, x.device)
        for block in blocks:
            x = self._run(block, x, rotation, layout, time, tokens.sample.to(x.device))
        return x

    def _run(self, block: Callable[..., Tensor], *given: object) -> Tensor:
        return rerun(block, *given) if self.activation_checkpointing and torch.is_grad_enabled() else block(*given)


def _tokens(parts: list[Placed]) -> Tokens:
    lengths = [len(where) for _, _, where in parts]
    if not lengths:
        none = torch.zeros(0, dtype=torch.int64)
        return Tokens(none, none, none.view(0, 3), [])
    first = torch.tensor([start for _, start, _ in parts]).repeat_interleave(torch.tensor(lengths))
    sample = torch.tensor([owner for owner, _, _ in parts]).repeat_interleave(torch.tensor(lengths))
    return Tokens(sample, first + grid(lengths)[1], torch.cat([where for _, _, where in parts]), lengths)


def _joint_layout(sample: Tensor, place: Tensor, lengths: list[int], device: torch.device) -> Layout:
    """Every sample attends to all of itself, wherever its tokens lie."""
    width, mask = max(lengths), None
    if min(lengths) < width:
        filled = torch.arange(width) < torch.tensor(lengths)[:, None]
        mask = filled[:, None, None].expand(-1, 1, width, -1).to(device)
    return make_layout(sample.to(device), place.to(device), lengths, mask)
