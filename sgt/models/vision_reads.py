"""What text reads from images while a model answers: its mean over requests, and answers with that mean in its place.

In a head of a layer, the attention of a token i adds up the values of the tokens that it may see: ``sum_j a_ij v_j``,
with softmax weights ``a_ij``. Of a text token that sees an image, this is ``r_i + (1 - s_i) t_i``:

- ``r_i = sum_{j in images} a_ij v_j``, what it reads from vision. The weights are not renormalised over the image, so
  that r_i is small where little attention falls on it;
- ``s_i = sum_{j in images} a_ij``, the share of its attention that falls on vision;
- ``t_i = sum_{j in text} a_ij v_j / (1 - s_i)``, what it reads from text alone, which does not depend on the image.

Mean ablation computes ``r + (1 - s) t_i`` for every text token, where r and s are means over tokens of the same kind,
one for each layer and head. So a layer moves nothing of an image to text any more, neither what is in it nor how much
attention it takes from the text; what it contributes on average stays.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sgt.models.recorder import attention_weights

# What a place of a key-value cache holds: nothing; a token of an image; the token before an answer and those of the
# answer; any other token (words, markers, fixed texts of a chat).
EMPTY, TEXT, VISION, ANSWER = range(4)
# The kinds of text that each have means of their own.
READERS = (TEXT, ANSWER)


class VisionReads(ABC):
    """Attention of some layers of a language model, with what text reads from vision apart.

    Attributes:
        layers: their indexes.
    """

    def __init__(self, layers: Sequence[int]) -> None:
        self.layers = layers

    def attention(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, kinds: Tensor
    ) -> Tensor:
        """Softmax attention.

        Args:
            layer: one of them.
            query, key, value, mask: see :func:`sgt.models.attention.dense_attention`.
            kinds: uint8 (B, K), of the keys, the last L of which are the queries.

        Returns:
            (B, H, L, D).
        """
        value = value.repeat_interleave(query.shape[1] // value.shape[1], dim=1)
        is_vision = (kinds == VISION)[:, None, None]
        out = torch.empty_like(query)
        for part, weights in attention_weights(query, key, mask):
            # A padded query may attend to nothing: its weights are nan.
            weights = weights.nan_to_num()
            own = kinds[:, -query.shape[2] :][:, part]
            sees = (is_vision if mask is None else mask[:, :, part] & is_vision).any(-1)[:, 0]
            readers = [(own == kind) & sees for kind in READERS]
            out[:, :, part] = self._result(layer, weights, value, is_vision, readers)
        return out

    @abstractmethod
    def _result(
        self, layer: int, weights: Tensor, value: Tensor, is_vision: Tensor, readers: Sequence[Tensor]
    ) -> Tensor:
        """The output (B, H, l, D) of the attention of some queries.

        Args:
            layer: one of :attr:`layers`.
            weights: fp32 (B, H, l, K).
            value: (B, H, K, D).
            is_vision: bool (B, 1, 1, K).
            readers: bool (B, l) for each of :data:`READERS`: tokens of this kind that may see an image.
        """


class MeanReads(VisionReads):
    """Leaves the attention as it is, and collects the means of what each kind of text reads from vision.

    Every token that is computed counts alike; tokens that requests share, as they begin alike, count once.
    """

    def __init__(self, layers: Sequence[int]) -> None:
        super().__init__(layers)
        self._sums: dict[int, Tensor] = {}
        self._counts: dict[int, Tensor] = {}

    def _result(
        self, layer: int, weights: Tensor, value: Tensor, is_vision: Tensor, readers: Sequence[Tensor]
    ) -> Tensor:
        chosen, on_vision = torch.stack(list(readers)).double(), weights * is_vision
        read = torch.cat([on_vision.to(value.dtype) @ value, on_vision.sum(-1, keepdim=True)], dim=-1)
        sums = torch.einsum("kbl,bhld->khd", chosen, read.double())
        self._sums[layer] = self._sums.get(layer, 0) + sums
        self._counts[layer] = self._counts.get(layer, 0) + chosen.sum((1, 2))
        return weights.to(value.dtype) @ value

    def add(self, more: "MeanReads") -> None:
        """Take the mean over what was collected in others of the same layers, too."""
        for layer, sums in more._sums.items():
            self._sums[layer] = self._sums.get(layer, 0) + sums
            self._counts[layer] = self._counts.get(layer, 0) + more._counts[layer]

    @property
    def counts(self) -> list[int]:
        """How many tokens of each of :data:`READERS` the means are over."""
        return [int(count) for count in self._counts[self.layers[0]]]

    @property
    def means(self) -> dict[int, Tensor]:
        """By layer, fp64 (:data:`READERS`, H, D + 1): the mean of what is read, then that of the share of attention.

        Nan for a kind of which there was no token.
        """
        return {layer: sums / self._counts[layer][:, None, None] for layer, sums in self._sums.items()}


class MeanAblation(VisionReads):
    """Replaces what text reads from vision, and the share of its attention that it reads it with, by their means.

    Args:
        layers: that are ablated.
        means: of these and possibly more layers; see :attr:`MeanReads.means`.
    """

    def __init__(self, layers: Sequence[int], means: Mapping[int, Tensor]) -> None:
        super().__init__(layers)
        self._means = {layer: means[layer] for layer in layers}

    def _result(
        self, layer: int, weights: Tensor, value: Tensor, is_vision: Tensor, readers: Sequence[Tensor]
    ) -> Tensor:
        out = weights.to(value.dtype) @ value
        on_text = weights * ~is_vision
        of_text = (on_text / on_text.sum(-1, keepdim=True)).nan_to_num().to(value.dtype) @ value
        for of_kind, mean in zip(readers, self._means[layer].to(value.dtype), strict=True):
            read, share = mean[None, :, None, :-1], mean[None, :, None, -1:]
            out = torch.where(of_kind[:, None, :, None], read + (1 - share) * of_text, out)
        return out
