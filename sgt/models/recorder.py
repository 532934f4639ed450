"""Recording states and span-reduced attention while a model runs."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from sgt.models.attention import KVCache, Layout
from sgt.models.capture import Captured

# Elements of a matrix of queries by keys, over rows and heads, that are held at once.
SCORES = 2**26


class Recorder:
    """Collects what some layers compute for the rows of a batch.

    A pass may come in several calls, each of which appends tokens to every row (a key-value cache). Before each call,
    :meth:`begin` names its tokens.

    Args:
        spans: see :meth:`sgt.models.capture.Capturer.capture`.
        rows: B.
        device: where the model runs.
        per_head: keep heads apart.
    """

    def __init__(self, spans: Sequence[str], rows: int, device: torch.device, per_head: bool = False) -> None:
        self.spans, self.rows, self.device, self.per_head = spans, rows, device, per_head
        self._cached = torch.zeros(rows, 0, len(spans), dtype=torch.bool, device=device)
        self._queries = self._keys = self._cached
        self._counts = torch.zeros(rows, len(spans), device=device)
        self._mass: dict[int, Tensor] = {}
        self._states: dict[int, list[list[list[Tensor]]]] = {}

    def begin(self, names: Sequence[Sequence[str]], cached: bool = True) -> None:
        """Name the tokens of the next call.

        Args:
            names: per row, the name of each token in order: ``text.0``, ``image.1``, ``system``, …
            cached: later calls attend to these tokens.
        """
        width = max(len(row) for row in names)
        inside = torch.zeros(self.rows, width, len(self.spans), dtype=torch.bool)
        for row, tokens in enumerate(names):
            for index, span in enumerate(self.spans):
                found = [name == span or name.partition(".")[0] == span for name in tokens]
                inside[row, : len(tokens), index] = torch.tensor(found)
        self._queries = inside.to(self.device)
        self._keys = torch.cat([self._cached, self._queries], dim=1)
        self._counts += self._queries.sum(1)
        if cached:
            self._cached = self._keys

    def record_states(self, layer: int, states: Tensor) -> None:
        """Keep the states (B, L, width) of the tokens of each span."""
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
        heads, length = query.shape[1:3]
        key, value = (x.repeat_interleave(heads // x.shape[1], dim=1) for x in (key, value))
        at_once = max(1, SCORES // (self.rows * heads * key.shape[2]))
        mass = torch.zeros(self.rows, heads, len(self.spans), len(self.spans), device=self.device)
        keys, out = self._keys.float(), torch.empty_like(query)
        for start in range(0, length, at_once):
            part = slice(start, start + at_once)
            scores = (query[:, :, part] @ key.transpose(2, 3)).float() * query.shape[3] ** -0.5
            if mask is not None:
                scores = scores.masked_fill(~mask[:, :, part], -torch.inf)
            weights = scores.softmax(-1)
            out[:, :, part] = weights.to(value.dtype) @ value
            # A padded query may attend to nothing: its weights are nan, and belong to no span.
            on_spans = torch.einsum("bhlk,bkt->bhlt", weights.nan_to_num(), keys)
            mass += torch.einsum("bls,bhlt->bhst", self._queries[:, part].float(), on_spans)
        self._mass[layer] = self._mass.get(layer, 0) + mass
        return out

    def captured(self) -> list[Captured]:
        """What was recorded, by row."""
        found = []
        for row in range(self.rows):
            states = {
                layer: {span: torch.cat(parts) for span, parts in zip(self.spans, kept[row], strict=True)}
                for layer, kept in self._states.items()
            }
            shares = {layer: mass[row] / self._counts[row, :, None] for layer, mass in self._mass.items()}
            attention = {layer: (share if self.per_head else share.mean(0)).cpu() for layer, share in shares.items()}
            found.append(Captured(states, attention))
        return found


@contextmanager
def recording(recorder: Recorder, layers: Mapping[int, nn.Module], attention: str) -> Iterator[None]:
    """Record layers whose attention is :func:`sgt.models.attention.attend` over layouts of one block.

    Args:
        recorder: is filled.
        layers: by index; called with packed tokens, in one or two streams, and a layout among their arguments.
        attention: the name of the attention module in a layer, which calls its ``attend``.
    """

    def keep(index: int, layer: nn.Module, given: tuple, output: Tensor | tuple[Tensor, Tensor]) -> None:
        packed = torch.cat(output) if isinstance(output, tuple) else output
        (block,) = next(argument for argument in given if isinstance(argument, Layout)).blocks
        recorder.record_states(index, packed.index_select(0, block.token).unflatten(0, (block.rows, block.width)))

    handles = []
    try:
        for index, layer in layers.items():
            handles.append(layer.register_forward_hook(partial(keep, index)))
            getattr(layer, attention).attend = partial(_attend, recorder, index)
        yield
    finally:
        for handle in handles:
            handle.remove()
        for layer in layers.values():
            vars(getattr(layer, attention)).pop("attend", None)


def _attend(
    recorder: Recorder, index: int, q: Tensor, k: Tensor, v: Tensor, layout: Layout, cache: KVCache | None = None
) -> Tensor:
    """See :func:`sgt.models.attention.attend`."""
    (block,) = layout.blocks
    query, key, value = block.pad(q), block.pad(k), block.pad(v)
    if cache is not None:
        key, value = cache.join(key, value)
    out = recorder.attention(index, query, key, value, block.mask)
    return out.transpose(1, 2).flatten(2).flatten(0, 1).index_select(0, layout.slot)
