"""A simple reference for BAGEL's training losses: padded samples and dense masks, without the network code of sgt.

It is written from the published equations. The tests compare the model with it, and ``perf/train_step.py`` uses it as
baseline. Weights have their official names.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from sgt.models.bagel.config import BagelConfig
from sgt.models.bagel.items import SpecialTokens, TextIds, VaeImage, VitImage

Weights = dict[str, Tensor]


@dataclass
class Sample:
    """One sample: its tokens' embeddings in pieces, and lists with one entry per token.

    ``label`` is −1 for unsupervised tokens; ``velocity`` has a row per latent token of a target, in order.
    """

    embeddings: list[Tensor] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    split: list[int] = field(default_factory=list)
    mode: list[str] = field(default_factory=list)
    generation: list[bool] = field(default_factory=list)
    label: list[int] = field(default_factory=list)
    weight: list[float] = field(default_factory=list)
    target: list[bool] = field(default_factory=list)
    velocity: list[Tensor] = field(default_factory=list)

    def put(
        self,
        embeddings: Tensor,
        positions: list[int],
        split: int,
        mode: str,
        generation: bool = False,
        target: bool = False,
    ) -> None:
        """Append tokens without text labels."""
        count = len(positions)
        self.embeddings.append(embeddings)
        self.positions += positions
        self.split += [split] * count
        self.mode += [mode] * count
        self.generation += [generation] * count
        self.label += [-1] * count
        self.weight += [0.0] * count
        self.target += [target] * count

    def mask(self) -> Tensor:
        """Attention mask, bool (tokens, tokens): whether a token (row) may attend to another (column)."""
        split, at = torch.tensor(self.split), torch.arange(len(self.split))
        noise = torch.tensor([mode == "noise" for mode in self.mode])
        full = torch.tensor([mode in ("full", "noise") for mode in self.mode])
        same = split[:, None] == split
        return ((at[:, None] >= at) | (same & full)) & (same | ~noise)


def losses(
    weights: Weights,
    config: BagelConfig,
    special: SpecialTokens,
    samples: Sequence[Sequence[TextIds | VitImage | VaeImage]],
    dropped: Sequence[Sequence[bool]],
    latents: Sequence[Tensor],
    noises: Sequence[Tensor],
    normals: Sequence[float],
    shift: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Unreduced losses of a batch.

    Args:
        weights: by official name.
        config, special: sizes and special tokens.
        samples: items of each sample, in order; images as pixels.
        dropped: per item, whether condition dropout removed it.
        latents: scaled latent (z, H, W) of each VAE image that is not dropped, in order.
        noises: (tokens, numbers per token) for each of these images.
        normals: the standard normal draw of the time of each target.
        shift: timestep shift.

    Returns:
        Cross-entropy of every supervised token, its weight 1/√n, and squared velocity errors (tokens, numbers per
        token).
    """
    given, drawn = iter(zip(latents, noises, strict=True)), iter(normals)
    built = []
    for items, drops in zip(samples, dropped, strict=True):
        sample, position = Sample(), 0
        for split, (item, drop) in enumerate(zip(items, drops, strict=True)):
            if isinstance(item, TextIds):
                position = position if drop else put_text(sample, weights, special, item, position, split)
            elif drop:
                position += 1
            elif isinstance(item, VitImage):
                put_image(sample, weights, special, vit_tokens(weights, config, item.pixels), position, split, "full")
                position += 1
            else:
                t = torch.sigmoid(torch.tensor(next(drawn))) if item.loss else torch.tensor(0.0)
                t = shift * t / (1 + (shift - 1) * t)
                latent, noise = next(given)
                clean, p = cut(latent, config.latent_patch_size), config.latent_patch_size
                x = (1 - t) * clean + t * noise
                tokens = latent_tokens(weights, config, x, t, latent.shape[1] // p, latent.shape[2] // p)
                mode = "noise" if item.loss else "full"
                put_image(sample, weights, special, tokens, position, split, mode, generation=True)
                sample.velocity += [noise - clean] if item.loss else []
                position += not item.loss
        built.append(sample)

    hidden = decoder(weights, config, built)
    hidden = torch.cat([row[: len(sample.label)] for row, sample in zip(hidden, built, strict=True)])
    label = torch.tensor([value for sample in built for value in sample.label])
    weight = torch.tensor([value for sample in built for value in sample.weight])
    target = torch.tensor([value for sample in built for value in sample.target])
    logits = hidden[label >= 0] @ weights["language_model.lm_head.weight"].T
    velocity = [part for sample in built for part in sample.velocity]
    wanted = torch.cat(velocity) if velocity else torch.zeros(0, config.latent_dim)
    ce = F.cross_entropy(logits, label[label >= 0], reduction="none")
    return ce, weight[label >= 0], (_linear(weights, "llm2vae", hidden[target]) - wanted) ** 2


def put_text(sample: Sample, weights: Weights, special: SpecialTokens, item: TextIds, position: int, split: int) -> int:
    """Append a text; returns the next position."""
    ids = [special.bos, *item.ids, special.eos]
    table = weights["language_model.model.embed_tokens.weight"]
    sample.put(table[torch.tensor(ids)], list(range(position, position + len(ids))), split, "causal")
    if item.loss:
        sample.label[-len(ids) :] = [*ids[1:], -1]
        sample.weight[-len(ids) :] = [(len(ids) - 1) ** -0.5] * len(ids)
    return position + len(ids)


def put_image(
    sample: Sample,
    weights: Weights,
    special: SpecialTokens,
    tokens: Tensor,
    position: int,
    split: int,
    mode: str,
    generation: bool = False,
) -> None:
    """Append the tokens of an image between its start and end tokens, all at one position."""
    table = weights["language_model.model.embed_tokens.weight"]
    sample.put(table[special.start_of_image][None], [position], split, mode)
    sample.put(tokens, [position] * len(tokens), split, mode, generation, target=mode == "noise")
    sample.put(table[special.end_of_image][None], [position], split, mode)


def cut(latent: Tensor, p: int) -> Tensor:
    """A latent (z, p·h, p·w) as tokens (h·w, p·p·z)."""
    z, height, width = latent.shape
    return latent.reshape(z, height // p, p, width // p, p).permute(1, 3, 2, 4, 0).reshape(-1, p * p * z)


def latent_tokens(weights: Weights, config: BagelConfig, x: Tensor, t: Tensor, h: int, w: int) -> Tensor:
    """Embeddings (h·w, width) of latent tokens x (h·w, numbers per token) at time t."""
    frequencies = torch.exp(-torch.log(torch.tensor(1e4)) * torch.arange(128) / 128)
    features = torch.cat([torch.cos(t * frequencies), torch.sin(t * frequencies)])
    time = _linear(weights, "time_embedder.mlp.2", F.silu(_linear(weights, "time_embedder.mlp.0", features)))
    table = sincos(config.llm.hidden_size, config.max_latent_size)[:h, :w].reshape(h * w, -1)
    return _linear(weights, "vae2llm", x) + time + table


def vit_tokens(weights: Weights, config: BagelConfig, pixels: Tensor) -> Tensor:
    """Embeddings (tokens, width) of an image (3, H, W)."""
    vit, size, name = config.vit, config.vit.patch_size, "vit_model.vision_model"
    h, w = pixels.shape[1] // size, pixels.shape[2] // size
    patches = pixels.reshape(3, h, size, w, size).permute(1, 3, 2, 4, 0).reshape(h * w, -1)
    positions = (torch.arange(h)[:, None] * vit.side + torch.arange(w)).flatten()
    x = _linear(weights, f"{name}.embeddings.patch_embedding", patches)
    x = x + weights[f"{name}.embeddings.position_embedding.weight"][positions]

    def norm(which: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], weights[f"{which}.weight"], weights[f"{which}.bias"], vit.layer_norm_eps)

    for layer in range(vit.num_hidden_layers):
        here = f"{name}.encoder.layers.{layer}"
        y = norm(f"{here}.layer_norm1", x)
        q, k, v = (
            _linear(weights, f"{here}.self_attn.{part}_proj", y).unflatten(-1, (vit.num_attention_heads, -1))
            for part in "qkv"
        )
        scores = torch.einsum("qhd,khd->hqk", q, k) / q.shape[-1] ** 0.5
        mixed = torch.einsum("hqk,khd->qhd", scores.softmax(-1), v).flatten(1)
        x = x + _linear(weights, f"{here}.self_attn.out_proj", mixed)
        y = F.gelu(_linear(weights, f"{here}.mlp.fc1", norm(f"{here}.layer_norm2", x)), approximate="tanh")
        x = x + _linear(weights, f"{here}.mlp.fc2", y)
    x = norm(f"{name}.post_layernorm", x)
    x = _linear(weights, "connector.fc2", F.gelu(_linear(weights, "connector.fc1", x), approximate="tanh"))
    return x + sincos(config.llm.hidden_size, config.vit_max_num_patch_per_side)[:h, :w].reshape(h * w, -1)


@cache
def sincos(width: int, side: int) -> Tensor:
    """Position table fp32 (side, side, width), indexed by row and column; the column's features come first."""
    omega = 10000.0 ** -(torch.arange(width // 4, dtype=torch.float64) / (width / 4))
    angle = torch.arange(side, dtype=torch.float64)[:, None] * omega
    wave = torch.cat([angle.sin(), angle.cos()], dim=1)
    rows = [[torch.cat([wave[column], wave[row]]) for column in range(side)] for row in range(side)]
    return torch.stack([torch.stack(row) for row in rows]).float()


def decoder(weights: Weights, config: BagelConfig, samples: Sequence[Sample]) -> Tensor:
    """Final hidden states (samples, longest, width); samples are padded to the longest."""
    llm, longest = config.llm, max(len(sample.positions) for sample in samples)
    x = torch.stack([F.pad(torch.cat(s.embeddings), (0, 0, 0, longest - len(s.positions))) for s in samples])
    positions = torch.zeros(len(samples), longest)
    generation = torch.zeros(len(samples), longest, dtype=torch.bool)
    mask = torch.eye(longest, dtype=torch.bool).repeat(len(samples), 1, 1)
    for row, sample in enumerate(samples):
        length = len(sample.positions)
        positions[row, :length] = torch.tensor(sample.positions, dtype=torch.float32)
        generation[row, :length] = torch.tensor(sample.generation)
        mask[row, :length, :length] = sample.mask()
    half = llm.head_dim // 2
    angles = positions[..., None] * llm.rope_theta ** (-torch.arange(half) / half)
    cos, sin = angles.cos()[:, :, None], angles.sin()[:, :, None]

    def by_expert(name: str, x: Tensor, apply: Callable[[str, Tensor], Tensor]) -> Tensor:
        understood, made = apply(name, x[~generation]), apply(f"{name}_moe_gen", x[generation])
        out = understood.new_zeros(*generation.shape, *understood.shape[1:])
        out[~generation], out[generation] = understood, made
        return out

    def rms(name: str, x: Tensor) -> Tensor:
        return weights[f"{name}.weight"] * (x * torch.rsqrt((x**2).mean(-1, keepdim=True) + llm.rms_norm_eps))

    def rotated(x: Tensor) -> Tensor:
        one, two = x[..., :half], x[..., half:]
        return torch.cat([one * cos - two * sin, two * cos + one * sin], -1)

    def mlp(name: str, x: Tensor) -> Tensor:
        gate = F.silu(x @ weights[f"{name}.gate_proj.weight"].T)
        return (gate * (x @ weights[f"{name}.up_proj.weight"].T)) @ weights[f"{name}.down_proj.weight"].T

    def linear(name: str, x: Tensor) -> Tensor:
        return _linear(weights, name, x)

    for layer in range(llm.num_hidden_layers):
        here = f"language_model.model.layers.{layer}"
        y = by_expert(f"{here}.input_layernorm", x, rms)
        q, k, v = (
            by_expert(f"{here}.self_attn.{part}_proj", y, linear).unflatten(-1, (-1, llm.head_dim)) for part in "qkv"
        )
        q, k = (rotated(by_expert(f"{here}.self_attn.{part}_norm", h, rms)) for part, h in (("q", q), ("k", k)))
        repeats = llm.num_attention_heads // llm.num_key_value_heads
        k, v = k.repeat_interleave(repeats, 2), v.repeat_interleave(repeats, 2)
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / llm.head_dim**0.5
        shares = scores.masked_fill(~mask[:, None], float("-inf")).softmax(-1)
        mixed = torch.einsum("bhqk,bkhd->bqhd", shares, v).flatten(2)
        x = x + by_expert(f"{here}.self_attn.o_proj", mixed, linear)
        x = x + by_expert(f"{here}.mlp", by_expert(f"{here}.post_attention_layernorm", x, rms), mlp)
    return by_expert("language_model.model.norm", x, rms)


def _linear(weights: Weights, name: str, x: Tensor) -> Tensor:
    return F.linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))
