"""The vision tower of an OmniGen2, for measurements."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from sgt.models.omnigen2.base import OmniGen2Base
from sgt.models.tower import ObserveAttention, TowerLayer, VisionTower

OBSERVED = "observed"


class OmniGen2Tower(VisionTower):
    """The vision tower of Qwen2.5-VL; its merger, which connects it to the language model, comes after it."""

    def __init__(self, model: OmniGen2Base) -> None:
        self._model, self._visual = model, model.network.mllm.model.visual

    @property
    def layers(self) -> list[TowerLayer]:
        """See :attr:`VisionTower.layers`."""
        return [TowerLayer(block, block.get_submodule("mlp.gate_proj")) for block in self._visual.blocks]

    def encode(self, image: Image.Image) -> Tensor:
        """See :meth:`VisionTower.encode`."""
        cut = self._model.vit_transform(image)
        pixels, grid = cut.pixels.to(self._model.device), torch.tensor([cut.grid], device=self._model.device)
        with self._model.arithmetic():
            return self._visual(pixels.to(self._visual.dtype), grid_thw=grid).last_hidden_state

    @contextmanager
    def observing_attention(self, observe: ObserveAttention) -> Iterator[None]:
        """See :meth:`VisionTower.observing_attention`; transformers chooses the attention by its configuration."""
        config, attentions = self._visual.config, [vars(block.get_submodule("attn")) for block in self._visual.blocks]
        before = config._attn_implementation
        try:
            for index, attention in enumerate(attentions):
                attention["observe"] = partial(observe, index)
            config._attn_implementation = OBSERVED
            yield
        finally:
            config._attn_implementation = before
            for attention in attentions:
                attention.pop("observe", None)


def _attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """Attention as transformers calls it, for one image or one window of it."""
    vars(module)["observe"](query[0], key[0])
    return sdpa_attention_forward(module, query, key, value, attention_mask, **options)


AttentionInterface.register(OBSERVED, _attention)
