"""The vision encoder of a model: what its layers compute, and numbers that show whether it still tells images apart.

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


@dataclass(frozen=True)
class Encoding:
    """Images as the tower has encoded them, one after another.

    Attributes:
        grids: (height, width) of each image, in tokens of the tower.
        order: int64 (tokens,): where in the layers' states each token is, image by image and row by row; None if the
            layers have them in this order.
        connected: (tokens of the language model, width): the connector's output, image by image and row by row.
        merge: how many tokens of the tower a token of the language model covers, per side.
    """

    grids: Sequence[tuple[int, int]]
    order: Tensor | None
    connected: Tensor
    merge: int


@dataclass(frozen=True)
class EncodedImage:
    """What a tower computes of one image; fp32, on the CPU, each state at its place in the image.

    Attributes:
        layers: of each layer, the residual stream after it: (height, width, channels).
        connected: the connector's output: (height, width, channels), with as many or fewer places.
    """

    layers: list[Tensor]
    connected: Tensor


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
    def encode_all(self, images: Sequence[Image.Image]) -> Encoding:
        """Encode images in one pass, through the connector to the language model."""

    @torch.no_grad()
    def capture(self, images: Sequence[Image.Image]) -> list[EncodedImage]:
        """The states of every layer and of the connector, of images that questions are asked about.

        Args:
            images: at least one. All their states are kept at once.
        """
        states: dict[int, Tensor] = {}

        def keep(index: int, block: nn.Module, given: tuple, output: Tensor) -> None:
            states[index] = output

        with ExitStack() as stack:
            for index, layer in enumerate(self.layers):
                stack.callback(layer.block.register_forward_hook(partial(keep, index)).remove)
            encoding = self.encode_all(images)
        grids, merge = encoding.grids, encoding.merge
        by_layer = [states[index] for index in range(len(states))]
        if encoding.order is not None:
            by_layer = [each.index_select(0, encoding.order) for each in by_layer]
        placed = [_placed(each, grids) for each in by_layer]
        connected = _placed(encoding.connected, [(height // merge, width // merge) for height, width in grids])
        return [EncodedImage([each[place] for each in placed], connected[place]) for place in range(len(grids))]

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


def _placed(states: Tensor, grids: Sequence[tuple[int, int]]) -> list[Tensor]:
    """States (tokens, channels) of images one after another, each as fp32 (height, width, channels) on the CPU."""
    parts = states.float().cpu().split([height * width for height, width in grids])
    return [part.unflatten(0, grid) for part, grid in zip(parts, grids, strict=True)]


def _rounded(value: Any) -> Any:
    match value:
        case float():
            return round(value, 4)
        case list():
            return [_rounded(each) for each in value]
    return value
