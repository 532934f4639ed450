"""The vision encoder of a model, and numbers that show whether it still tells images apart.

A vision tower can collapse while it is trained: its first layer swamps the residual stream, its attention settles on
one token, units of its MLPs are never active again, and its output varies in few directions. Losses do not show that.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

# Called with a layer's index, and queries and keys (heads, tokens, numbers per head) that attend to one another.
ObserveAttention = Callable[[int, Tensor, Tensor], None]


@dataclass(frozen=True)
class TowerLayer:
    """One pre-norm layer of a vision tower.

    Attributes:
        block: the layer: the residual stream is its first argument and its output.
        gate: the linear layer inside its MLP whose output goes through GELU or SiLU.
    """

    block: nn.Module
    gate: nn.Module


class VisionTower(ABC):
    """The semantic encoder of a model, as its family runs it."""

    @property
    @abstractmethod
    def layers(self) -> list[TowerLayer]:
        """Its layers, in order."""

    @abstractmethod
    def encode(self, image: Image.Image) -> Tensor:
        """Features of an image that questions are asked about: (tokens, width)."""

    @abstractmethod
    @contextmanager
    def observing_attention(self, observe: ObserveAttention) -> Iterator[None]:
        """Within the context, call ``observe`` for every attention of every layer."""
        yield


@dataclass(frozen=True)
class TowerHealth:
    """The state of a vision tower on some images; lists have one number per layer.

    Attributes:
        rank: effective rank of the output, see :func:`effective_rank`; from 1 to ``width``.
        width: of the output.
        dead: share of MLP units that are never active: the input of their GELU or SiLU is not above 0 for any token.
        entropy: of the attention, nats; the mean over images, heads and queries.
        uniform_entropy: of attention that is spread evenly, nats: the highest possible.
        growth: rms of the residual stream after the layer over that before it.
        images: how many were encoded.
    """

    rank: float
    width: int
    dead: list[float]
    entropy: list[float]
    uniform_entropy: list[float]
    growth: list[float]
    images: int

    def record(self) -> dict[str, Any]:
        """As JSON, rounded to four decimal places."""
        return {name: _rounded(value) for name, value in asdict(self).items()}

    def metrics(self) -> dict[str, float]:
        """As metrics of a training step: ``tower_rank``, and ``tower_dead_0`` for the first layer."""
        layers = {"dead": self.dead, "entropy": self.entropy, "growth": self.growth}
        named = {
            f"tower_{name}_{layer}": value for name, values in layers.items() for layer, value in enumerate(values)
        }
        return {"tower_rank": self.rank, **named}


def measure_tower(tower: VisionTower, images: Sequence[Image.Image]) -> TowerHealth:
    """Measure a vision tower on images. Nothing is drawn at random, and the tower is left as it is.

    Args:
        tower: of a model in evaluation mode.
        images: at least one.
    """
    probe = _Probe(len(tower.layers))
    with torch.no_grad(), probe.attached(tower):
        output = torch.cat([tower.encode(image).float() for image in images])
    return TowerHealth(
        rank=effective_rank(output),
        width=output.shape[1],
        dead=[(highest <= 0).float().mean().item() for highest in probe.highest],
        entropy=[total / probe.queries for total in probe.entropy],
        uniform_entropy=[total / probe.queries for total in probe.uniform],
        growth=[math.sqrt(after / before) for before, after in zip(probe.before, probe.after, strict=True)],
        images=len(images),
    )


def effective_rank(features: Tensor) -> float:
    """Exponential of the entropy of the normalised singular values (Roy and Vetterli, 2007) of centred features.

    Args:
        features: (tokens, width), one row per token.
    """
    values = torch.linalg.svdvals((features - features.mean(0)).double())
    if not values.any():
        return 1.0
    shares = values / values.sum()
    return torch.special.entr(shares).sum().exp().item()


def attention_entropy(query: Tensor, key: Tensor) -> Tensor:
    """Entropy of softmax attention, nats.

    Args:
        query: (heads, queries, numbers per head).
        key: (heads, keys, numbers per head).

    Returns:
        fp64 (heads, queries), from 0 to the logarithm of the number of keys.
    """
    scores = (query @ key.transpose(1, 2)).double() * query.shape[2] ** -0.5
    return torch.special.entr(scores.softmax(-1)).sum(-1)


class _Probe:
    """Collects what the layers of a tower compute.

    Attributes:
        highest: per layer, the highest input of each unit's activation function (units,).
        before, after: per layer, the sum of the squares of the residual stream.
        entropy: per layer, the sum of the attention's entropy over queries.
        uniform: per layer, the sum of the highest possible entropy over queries.
        queries: of each layer, in all images and heads.
    """

    def __init__(self, layers: int) -> None:
        self.highest: list[Tensor] = [torch.tensor(-torch.inf)] * layers
        self.before, self.after, self.entropy, self.uniform = ([0.0] * layers for _ in range(4))
        self.queries = 0

    @contextmanager
    def attached(self, tower: VisionTower) -> Iterator[None]:
        """Within the context, collect whatever the tower encodes."""
        with ExitStack() as stack:
            stack.enter_context(tower.observing_attention(self._observe))
            for index, layer in enumerate(tower.layers):
                for handle in (
                    layer.block.register_forward_hook(partial(self._keep_residual, index)),
                    layer.gate.register_forward_hook(partial(self._keep_units, index)),
                ):
                    stack.callback(handle.remove)
            yield

    def _keep_residual(self, index: int, block: nn.Module, given: tuple, output: Tensor) -> None:
        self.before[index] += given[0].double().square().sum().item()
        self.after[index] += output.double().square().sum().item()

    def _keep_units(self, index: int, gate: nn.Module, given: tuple, output: Tensor) -> None:
        self.highest[index] = torch.maximum(self.highest[index], output.flatten(0, -2).amax(0).float().cpu())

    def _observe(self, index: int, query: Tensor, key: Tensor) -> None:
        queries = query[..., 0].numel()
        self.entropy[index] += attention_entropy(query, key).sum().item()
        self.uniform[index] += queries * math.log(key.shape[1])
        self.queries += queries if index == 0 else 0


def _rounded(value: Any) -> Any:
    match value:
        case float():
            return round(value, 4)
        case list():
            return [_rounded(each) for each in value]
    return value
