"""One transformer over all kinds of tokens: the weights of ``model.safetensors``."""

import torch
from sgt.models.transfusion.packing import Pack
from sgt.models.transfusion.rules import TransfusionConfig
from torch import Tensor, nn

from sgt.config.recipe import Part
from sgt.models.attention import Layout, attend
from sgt.models.layers import TIME_FEATURES, RMSNorm, rerun, time_features


class Attention(nn.Module):
    # A recorder of attention puts its own function in this place.
    attend = staticmethod(attend)

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        q, k, v = (part.unflatten(1, (self.heads, -1)) for part in self.qkv(x).chunk(3, dim=1))
        return self.out(self.attend(q, k, v, layout))


class Layer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm_1, self.attention = RMSNorm(width, 1e-6), Attention(width, heads)
        self.norm_2 = RMSNorm(width, 1e-6)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        x = x + self.attention(self.norm_1(x), layout)
        return x + self.mlp(self.norm_2(x))


class TransfusionNetwork(nn.Module):
    def __init__(self, config: TransfusionConfig) -> None:
        super().__init__()
        self.config, width, latent = config, config.width, 4 * config.vae.z_channels
        self.embedding, self.head = nn.Embedding(config.vocab_size, width), nn.Linear(width, config.vocab_size)
        self.patch, self.patch_place = nn.Linear(3 * config.patch**2, width), nn.Embedding(config.grid**2, width)
        self.latent, self.latent_place = nn.Linear(latent, width), nn.Embedding(config.grid**2, width)
        self.latent_time, self.latent_out = nn.Linear(TIME_FEATURES, width), nn.Linear(width, latent)
        self.position = nn.Embedding(config.positions, width)
        self.layers = nn.ModuleList(Layer(width, config.heads) for _ in range(config.layers))
        self.norm = RMSNorm(width, 1e-6)
        self.activation_checkpointing = False

    def forward(self, pack: Pack, latents: Tensor, times: Tensor) -> Tensor:
        """Hidden states (N, width) of a sequence; ``latents`` (L, numbers) and ``times`` (L,) of its target tokens."""
        weight = self.head.weight

        def index(values: list[int]) -> Tensor:
            return torch.tensor(values, dtype=torch.int64, device=weight.device)

        shown = torch.cat([torch.zeros(0, self.patch.in_features), *pack.pixels]).to(weight)
        # Every layer runs, if only over no tokens: its weights have a gradient in all processes or in none.
        tokens = [
            self.embedding(index(pack.ids)),
            self.patch(shown) + self.patch_place(index(pack.places["image"])),
            self.latent(latents.to(weight))
            + self.latent_time(time_features(times).to(weight))
            + self.latent_place(index(pack.places["target"])),
        ]
        order = index(pack.at["text"] + pack.at["image"] + pack.at["target"]).argsort()
        # A row that has reached the last position may stay in a batch until the others end.
        position = index(pack.positions).clamp_max(self.config.positions - 1)
        x, layout = torch.cat(tokens)[order] + self.position(position), pack.layout(weight.device)
        for layer in self.layers:
            x = rerun(layer, x, layout) if self.activation_checkpointing else layer(x, layout)
        return self.norm(x)


def part_of(name: str) -> Part:
    """The layers, which all tokens pass, are ``understanding``."""
    owner = name.split(".")[0]
    if owner in ("embedding", "head"):
        return "vocabulary"
    if owner.startswith("patch"):
        return "vision"
    return "generation" if owner.startswith("latent") else "understanding"
