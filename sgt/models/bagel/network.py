"""All weights of a BAGEL but the VAE, and the forward pass of a packed training batch."""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgt.models import flow
from sgt.models.attention import full_layout, packed_layout
from sgt.models.bagel.config import BagelConfig
from sgt.models.bagel.items import PackedBatch
from sgt.models.bagel.layers import MoTForCausalLM, VisionModel
from sgt.models.cross_entropy import cross_entropy
from sgt.models.layers import TIME_FEATURES, time_features
from sgt.models.transforms import from_patches, patches
from sgt.models.vocabulary import grow_rows


def sincos_table(width: int, side: int) -> Tensor:
    """Fixed 2-D position table, fp32 (side², width): column first, then row (``bagel.md`` 3.2)."""
    omega = 10000.0 ** (-torch.arange(width // 4, dtype=torch.float64) / (width / 4))
    place = torch.arange(side, dtype=torch.float64)[:, None] * omega
    line = torch.cat([place.sin(), place.cos()], dim=1)
    column = line[None].expand(side, -1, -1)
    row = line[:, None].expand(-1, side, -1)
    return torch.cat([column, row], dim=2).reshape(side * side, width).float()


class PositionTable(nn.Module):
    """A fixed sin-cos table, kept as a frozen parameter because the official files hold it."""

    def __init__(self, side: int, width: int) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.empty(side * side, width), requires_grad=False)
        self.side, self.width = side, width

    def fill(self) -> None:
        """Compute the table; what a checkpoint holds is not used."""
        table = sincos_table(self.width, self.side)
        self.pos_embed = nn.Parameter(table.to(self.pos_embed), requires_grad=False)

    def forward(self, positions: Tensor) -> Tensor:
        """int64 (N,) → (N, width)."""
        return self.pos_embed[positions]


class TimeEmbedder(nn.Module):
    """Sinusoids of t in [0, 1] through a two-layer MLP (``bagel.md`` 3.5)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(TIME_FEATURES, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: Tensor) -> Tensor:
        """(N,) → (N, width)."""
        return self.mlp(time_features(t).to(self.mlp.get_parameter("0.weight").dtype))


class Connector(nn.Module):
    """Vision features → the language model's width."""

    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width_in, width)
        self.fc2 = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, width_in) → (N, width)."""
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


@dataclass(frozen=True)
class Losses:
    """Errors of one batch, before any weighting.

    Attributes:
        ce: (text tokens with a loss,), cross-entropy in nats.
        mse: (latent tokens with a loss, numbers per token), squared velocity error.
    """

    ce: Tensor
    mse: Tensor


class BagelNetwork(nn.Module):
    """The weights of ``ema.safetensors``."""

    def __init__(self, config: BagelConfig) -> None:
        super().__init__()
        self.config = config
        width = config.llm.hidden_size
        self.language_model = MoTForCausalLM(config.llm)
        self.vit_model = VisionModel(config.vit)
        self.connector = Connector(config.vit.hidden_size, width)
        self.time_embedder = TimeEmbedder(width)
        self.vae2llm = nn.Linear(config.latent_dim, width)
        self.llm2vae = nn.Linear(width, config.latent_dim)
        self.latent_pos_embed = PositionTable(config.max_latent_size, width)
        self.vit_pos_embed = PositionTable(config.vit_max_num_patch_per_side, width)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.vae2llm.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return self.vae2llm.weight.dtype

    def grow_vocabulary(self, rows: int) -> None:
        """Give embedding and head at least ``rows`` rows; new ones are the mean of the old."""
        grow_rows((self.language_model.model.embed_tokens, self.language_model.lm_head), rows)
        if rows > self.config.llm.vocab_size:
            self.config = replace(self.config, llm=replace(self.config.llm, vocab_size=rows))

    def embed_text(self, ids: Tensor) -> Tensor:
        """int64 (N,) → (N, width)."""
        return self.language_model.model.embed_tokens(ids)

    def embed_patches(self, patches: Tensor, positions: Tensor, lengths: list[int]) -> Tensor:
        """Patches of images (``lengths`` each) as language-model tokens.

        Args:
            patches: (N, channels·patch²).
            positions: int64 (N,), ids in both the encoder's learned table and the fixed one.
            lengths: patches per image.
        """
        features = self.vit_model.vision_model(patches.to(self.dtype), positions, full_layout(lengths, patches.device))
        return self.connector(features) + self.vit_pos_embed(positions)

    def embed_latents(self, latents: Tensor, t: Tensor, positions: Tensor) -> Tensor:
        """Latent tokens (N, numbers per token) at times (N,) and ids (N,) → (N, width)."""
        return self.vae2llm(latents.to(self.dtype)) + self.time_embedder(t) + self.latent_pos_embed(positions)

    def logits(self, hidden: Tensor) -> Tensor:
        """(N, width) → (N, vocabulary)."""
        return self.language_model.lm_head(hidden)

    def patchify(self, latent: Tensor) -> Tensor:
        """One latent (z, p·h, p·w) → tokens (h·w, p·p·z), each in the order row, column, channel."""
        return patches(latent, self.config.latent_patch_size)

    def unpatchify(self, tokens: Tensor, shape: tuple[int, int]) -> Tensor:
        """The inverse: tokens of an image of ``shape`` (h, w) tokens → (z, p·h, p·w)."""
        return from_patches(tokens, shape, self.config.latent_patch_size)

    def forward(self, batch: PackedBatch, latents: Tensor, timestep_shift: float) -> Losses:
        """Losses of a packed batch (``bagel.md`` 3 and 4).

        Args:
            batch: the packed samples.
            latents: (images, z, H, W) scaled latents of ``batch.padded_images``; the padding is cropped here.
            timestep_shift: shift of the training times.
        """
        # Every part runs, if only over no tokens: a parameter has a gradient in all processes or in none.
        image = self.embed_patches(batch.packed_vit_tokens, batch.packed_vit_position_ids, batch.vit_token_seqlens)
        und = torch.cat([self.embed_text(batch.packed_text_ids), image])
        t = flow.timestep(batch.packed_timesteps, timestep_shift)
        clean, noise = self._latent_tokens(batch, latents), batch.flow_noise
        gen = self.embed_latents(flow.interpolate(clean, noise, t[:, None]), t, batch.packed_latent_position_ids)

        order = torch.cat([batch.packed_text_indexes, batch.packed_vit_token_indexes, batch.packed_vae_token_indexes])
        layout = packed_layout(order, batch.sample_lens, batch.split_lens, batch.attn_modes)
        hidden_und, hidden_gen = self.language_model.model((und, gen), batch.packed_position_ids[order], layout)

        place_of = torch.empty_like(order)
        place_of[order] = torch.arange(len(order), device=order.device)
        answers = hidden_und[place_of[batch.ce_loss_indexes]]
        ce = cross_entropy(answers, self.language_model.lm_head, batch.packed_label_ids)
        supervised = place_of[batch.mse_loss_indexes] - len(und)
        predicted = self.llm2vae(hidden_gen[supervised])
        mse = (predicted - flow.velocity(clean, noise)[supervised]).float().square()
        return Losses(ce, mse)

    def _latent_tokens(self, batch: PackedBatch, latents: Tensor) -> Tensor:
        """Crop each image's latent out of its padding and cut it into tokens: (N, numbers per token)."""
        p = self.config.latent_patch_size
        tokens = [
            self.patchify(latent[:, : h * p, : w * p])
            for latent, (h, w) in zip(latents, batch.patchified_vae_latent_shapes, strict=True)
        ]
        return torch.cat(tokens) if tokens else latents.new_zeros(0, self.config.latent_dim)
