"""The vision tower of an OmniGen2, for measurements."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import get_vision_window_index

from sgt.models.omnigen2.base import OmniGen2Base
from sgt.models.tower import Encoding, ObserveAttention, TowerLayer, VisionTower

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

    def encode_all(self, images: Sequence[Image.Image]) -> Encoding:
        """See :meth:`VisionTower.encode_all`. Layers have the tokens window by window."""
        cut = [self._model.vit_transform(image) for image in images]
        pixels = torch.cat([each.pixels for each in cut]).to(self._model.device)
        grids = torch.tensor([each.grid for each in cut], device=self._model.device)
        with self._model.arithmetic():
            connected = self._visual(pixels.to(self._visual.dtype), grid_thw=grids).pooler_output
        sizes = [(height, width) for _, height, width in grids.tolist()]
        return Encoding(sizes, self._order(grids, sizes), connected, self._visual.spatial_merge_size)

    def _order(self, grids: Tensor, sizes: Sequence[tuple[int, int]]) -> Tensor:
        """See :attr:`Encoding.order`."""
        visual, merge = self._visual, self._visual.spatial_merge_size
        windows, _ = get_vision_window_index(
            grids, spatial_merge_size=merge, window_size=visual.window_size, patch_size=visual.patch_size
        )
        # What is merged stays together: merge² tokens, which are moved as one. The library lists windows on the CPU.
        moved = torch.argsort(windows.to(grids.device))[:, None] * merge**2 + torch.arange(
            merge**2, device=grids.device
        )
        by_image = moved.flatten().split([height * width for height, width in sizes])
        rows = [
            part.view(height // merge, width // merge, merge, merge).transpose(1, 2).flatten()
            for part, (height, width) in zip(by_image, sizes, strict=True)
        ]
        return torch.cat(rows)

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
