"""Recording states and span-reduced attention while a model runs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgt.models.attention import KVCache, Layout
from sgt.models.capture import Captured, Selection

# Queries, keys, values and mask as of :func:`sgt.models.attention.dense_attention`, and the kinds of the keys.
EagerAttention = Callable[[Tensor, Tensor, Tensor, Tensor | None, Tensor | None], Tensor]
# Elements of a matrix of queries by keys, over rows and heads, that are held at once.
SCORES = 2**26


def attention_weights(query: Tensor, key: Tensor, mask: Tensor | None) -> Iterator[tuple[slice, Tensor]]:
    """Softmax weights (B, H, l, K), fp32, of some queries at a time, and which these are.

    Scores are fp32 whatever the model's precision, as inside the fused kernels: rounded to bf16, a large score would
    change its weight by several percent.

    Args:
        query, key, mask: see :func:`sgt.models.attention.dense_attention`. Weights of a query without keys are nan.
    """
    rows, heads, length = query.shape[:3]
    key = key.float().repeat_interleave(heads // key.shape[1], dim=1)
    at_once = max(1, SCORES // (rows * heads * key.shape[2]))
    for start in range(0, length, at_once):
        part = slice(start, start + at_once)
        with torch.autocast(query.device.type, enabled=False):
            scores = (query[:, :, part].float() @ key.transpose(2, 3)) * query.shape[3] ** -0.5
        if mask is not None:
            scores = scores.masked_fill(~mask[:, :, part], -torch.inf)
        yield part, scores.softmax(-1)


class Recorder:
    """Collects what some layers compute for the rows of a batch.

    A pass may come in several calls, each of which appends tokens to every row (a key-value cache). Before each call,
    :meth:`begin` names its tokens.

    Args:
        selection: what is recorded.
        rows: B.
        device: where the model runs.

    Attributes:
        grids: per row, the (rows, columns) of the tokens of each of its images; filled by whoever names the tokens.
    """

    def __init__(self, selection: Selection, rows: int, device: torch.device) -> None:
        self.selection, self.spans, self.rows, self.device = selection, selection.spans, rows, device
        self._cached = torch.zeros(rows, 0, len(self.spans), dtype=torch.bool, device=device)
        self._queries = self._keys = self._cached
        # Which places of the cache hold a token.
        self._filled = torch.zeros(rows, 0, dtype=torch.bool, device=device)
        self._counts = torch.zeros(rows, len(self.spans), device=device)
        # For each key, which image of its row it is of; −1 if it is of none.
        self.grids: list[list[tuple[int, int]]] = [[] for _ in range(rows)]
        self._cached_images = self._key_images = torch.zeros(rows, 0, dtype=torch.int64)
        self._mass: dict[int, Tensor] = {}
        self._on_keys: dict[int, Tensor] = {}
        self._released: dict[int, Tensor] = {}
        # Those of the layer that is running, whose output is known only after its attention.
        self._key = torch.empty(0)
        self._states: dict[int, list[list[list[Tensor]]]] = {}

    def begin(self, names: Sequence[Sequence[str]], cached: bool = True) -> None:
        """Name the tokens of the next call.

        Args:
            names: per row, the name of each token in order: ``text.0``, ``image.1``, ``system``, …; a span has every
                token whose name has all its parts, in any order.
            cached: later calls attend to these tokens.
        """
        width = max(len(row) for row in names)
        inside = torch.zeros(self.rows, width, len(self.spans), dtype=torch.bool)
        images = torch.full((self.rows, width), -1)
        for row, tokens in enumerate(names):
            parts = [set(name.split(".")) for name in tokens]
            for index, span in enumerate(self.spans):
                wanted = set(span.split("."))
                inside[row, : len(tokens), index] = torch.tensor([wanted <= each for each in parts])
            images[row, : len(tokens)] = torch.tensor([_image_of(name) for name in tokens])
        self._queries = inside.to(self.device)
        self._keys = torch.cat([self._cached, self._queries], dim=1)
        self._key_images = torch.cat([self._cached_images, images], dim=1)
        self._counts += self._queries.sum(1)
        if cached:
            self._cached_images = self._key_images
            self._cached = self._keys
            filled = torch.arange(width) < torch.tensor([len(row) for row in names])[:, None]
            self._filled = torch.cat([self._filled, filled.to(self.device)], dim=1)

    def record_states(self, layer: int, states: Tensor) -> None:
        """Keep the states (B, L, width) of the tokens of each span, if states are wanted."""
        if not self.selection.states:
            return
        kept = self._states.setdefault(layer, [[[] for _ in self.spans] for _ in range(self.rows)])
        for row in range(self.rows):
            for index in range(len(self.spans)):
                kept[row][index].append(states[row][self._queries[row, :, index]].float().cpu())

    def attention(self, layer: int, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """Softmax attention with its weights, which are reduced over spans; some queries at a time.

        Args:
            layer: that is recorded.
            query, key, value, mask: see :func:`sgt.models.attention.dense_attention`; the keys are those of all calls.

        Returns:
            (B, H, L, D).
        """
        if self.selection.released:
            self._key = key
        out = torch.empty_like(query)
        mass = self._zeros(query)
        value = value.repeat_interleave(query.shape[1] // value.shape[1], dim=1)
        for part, weights in attention_weights(query, key, mask):
            out[:, :, part] = weights.to(value.dtype) @ value
            # A padded query may attend to nothing: its weights are nan, and belong to no span.
            weights = weights.nan_to_num()
            mass += self._reduced(weights, part, self._keys)
            if self.selection.map_from is not None:
                self._add_on_keys(layer, weights, part)
        self._mass[layer] = self._mass.get(layer, 0) + mass
        return out

    def attention_of(self, layer: int) -> EagerAttention:
        """The :meth:`attention` of one layer."""
        return lambda query, key, value, mask, kinds: self.attention(layer, query, key, value, mask)

    def record_released(self, layer: int, query: Tensor) -> None:
        """Reduce the released code's attention of the tokens of this call, whose :meth:`attention` was computed before.

        Args:
            layer: that is recorded.
            query: (B, H, L, D): output states times the query weights. They meet all that is in the cache by now.
        """
        key, mass = self._key[:, :, : self._filled.shape[1]], self._zeros(query)
        mask = self._filled[:, None, None].expand(-1, 1, query.shape[2], -1)
        for part, weights in attention_weights(query, key, mask):
            mass += self._reduced(weights, part, self._cached)
        self._released[layer] = self._released.get(layer, 0) + mass

    def _reduced(self, weights: Tensor, part: slice, keys: Tensor) -> Tensor:
        """Weights (B, H, l, K) of some queries, summed over the tokens of spans: (B, H, spans, spans)."""
        with torch.autocast(self.device.type, enabled=False):
            on_spans = torch.einsum("bhlk,bkt->bhlt", weights, keys.float())
            return torch.einsum("bls,bhlt->bhst", self._queries[:, part].float(), on_spans)

    def _add_on_keys(self, layer: int, weights: Tensor, part: slice) -> None:
        """Add the weights (B, H, l, K) of the queries that maps are of, averaged over heads: (B, K)."""
        assert self.selection.map_from is not None
        inside = self._queries[:, part, self.spans.index(self.selection.map_from)].float()
        with torch.autocast(self.device.type, enabled=False):
            found = torch.einsum("bl,bhlk->bk", inside, weights) / weights.shape[1]
        # The keys of earlier calls come first.
        before = self._on_keys.get(layer, found[:, :0])
        self._on_keys[layer] = F.pad(before, (0, found.shape[1] - before.shape[1])) + found

    def _zeros(self, query: Tensor) -> Tensor:
        return torch.zeros(self.rows, query.shape[1], len(self.spans), len(self.spans), device=self.device)

    def captured(self) -> list[Captured]:
        """What was recorded, by row."""
        found = []
        for row in range(self.rows):
            states = {
                layer: {span: torch.cat(parts) for span, parts in zip(self.spans, kept[row], strict=True)}
                for layer, kept in self._states.items()
            }
            shares = self._shares(self._mass, row), self._shares(self._released, row)
            found.append(Captured(states, *shares, self._maps(row)))
        return found

    def _maps(self, row: int) -> dict[int, list[Tensor]]:
        """The attention that falls on each token of each image of a row, by layer."""
        if self.selection.map_from is None:
            return {}
        count = self._counts[row, self.spans.index(self.selection.map_from)]
        return {
            layer: [
                (each[row] / count).cpu()[self._key_images[row] == image].view(grid)
                for image, grid in enumerate(self.grids[row])
            ]
            for layer, each in self._on_keys.items()
        }

    def _shares(self, mass: dict[int, Tensor], row: int) -> dict[int, Tensor]:
        """The mean over the queries of each span of a row, and over heads unless they are kept apart, by layer."""
        shares = {layer: each[row] / self._counts[row, :, None] for layer, each in mass.items()}
        return {layer: (each if self.selection.per_head else each.mean(0)).cpu() for layer, each in shares.items()}


def _image_of(name: str) -> int:
    """The number of the image that a token of this name is of; −1 if it is of none."""
    kind, *rest = name.split(".")
    return int(rest[0]) if kind == "image" else -1


@contextmanager
def recording(
    recorder: Recorder,
    layers: Mapping[int, nn.Module],
    attention: str,
    released_queries: Callable[[nn.Module, Any], Tensor] | None = None,
) -> Iterator[None]:
    """Record layers whose attention is :func:`sgt.models.attention.attend` over layouts of one block.

    Args:
        recorder: is filled.
        layers: by index; called with packed tokens, in one or two streams, and a layout among their arguments.
        attention: the name of the attention module in a layer, which calls its ``attend``.
        released_queries: what the released code takes for the queries of a layer, packed (N, H, D), from the layer and
            its output; without it, its attention is not recorded.
    """

    def keep(index: int, layer: nn.Module, given: tuple, output: Tensor | tuple[Tensor, Tensor]) -> None:
        packed = torch.cat(output) if isinstance(output, tuple) else output
        (block,) = next(argument for argument in given if isinstance(argument, Layout)).blocks
        recorder.record_states(index, packed.index_select(0, block.token).unflatten(0, (block.rows, block.width)))
        if recorder.selection.released and released_queries is not None:
            recorder.record_released(index, block.pad(released_queries(layer, output)))

    handles = []
    try:
        for index, layer in layers.items():
            handles.append(layer.register_forward_hook(partial(keep, index)))
            getattr(layer, attention).attend = partial(eager_attend, recorder.attention_of(index))
        yield
    finally:
        for handle in handles:
            handle.remove()
        for layer in layers.values():
            vars(getattr(layer, attention)).pop("attend", None)


def eager_attend(
    attention: EagerAttention, q: Tensor, k: Tensor, v: Tensor, layout: Layout, cache: KVCache | None = None
) -> Tensor:
    """:func:`sgt.models.attention.attend` with another attention, over layouts of one block."""
    (block,) = layout.blocks
    query, key, value = block.pad(q), block.pad(k), block.pad(v)
    if cache is not None:
        key, value = cache.join(key, value)
    out = attention(query, key, value, block.mask, block.kinds)
    return out.transpose(1, 2).flatten(2).flatten(0, 1).index_select(0, layout.slot)
