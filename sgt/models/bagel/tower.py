"""The vision encoder of a BAGEL, for measurements."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from PIL import Image
from torch import Tensor

from sgt.models.attention import Layout, attend, full_layout
from sgt.models.bagel.base import BagelBase
from sgt.models.bagel.packing import patch_ids
from sgt.models.tower import Encoding, ObserveAttention, TowerLayer, VisionTower
from sgt.models.transforms import patches


class BagelTower(VisionTower):
    """The SigLIP encoder, up to its post-layernorm; the connector to the language model comes after it."""

    def __init__(self, model: BagelBase) -> None:
        self._model, self._vit = model, model.network.vit_model.vision_model

    @property
    def layers(self) -> list[TowerLayer]:
        """See :attr:`VisionTower.layers`."""
        return [TowerLayer(layer, layer.get_submodule("mlp.fc1")) for layer in self._vit.encoder.layers]

    def encode(self, image: Image.Image) -> Tensor:
        """See :meth:`VisionTower.encode`."""
        with self._model.arithmetic():
            return self._encoded([image])[0]

    def encode_all(self, images: Sequence[Image.Image]) -> Encoding:
        """See :meth:`VisionTower.encode_all`. The connector's output is that before positions are added."""
        with self._model.arithmetic():
            features, grids = self._encoded(images)
            return Encoding(grids, None, self._model.network.connector(features), merge=1)

    def _encoded(self, images: Sequence[Image.Image]) -> tuple[Tensor, list[tuple[int, int]]]:
        """Features of images, one after another, and the (height, width) of each in tokens."""
        network, device = self._model.network, self._model.device
        size, side = network.config.vit.patch_size, network.config.vit_max_num_patch_per_side
        pixels = [self._model.vqa_transform(image).to(device) for image in images]
        grids = [(each.shape[1] // size, each.shape[2] // size) for each in pixels]
        tokens = torch.cat([patches(each, size) for each in pixels]).to(network.dtype)
        ids = torch.cat([patch_ids(*grid, side, "ViT image") for grid in grids]).to(device)
        layout = full_layout([height * width for height, width in grids], device)
        return self._vit(tokens, ids, layout), grids

    @contextmanager
    def observing_attention(self, observe: ObserveAttention) -> Iterator[None]:
        """See :meth:`VisionTower.observing_attention`."""
        attentions = [vars(layer.get_submodule("self_attn")) for layer in self._vit.encoder.layers]
        # A compiled layer has an attribute of its own already.
        before = [attention.get("attend") for attention in attentions]
        try:
            for index, attention in enumerate(attentions):
                attention["attend"] = partial(_observed, observe, index)
            yield
        finally:
            for attention, own in zip(attentions, before, strict=True):
                del attention["attend"]
                if own is not None:
                    attention["attend"] = own


def _observed(observe: ObserveAttention, index: int, q: Tensor, k: Tensor, v: Tensor, layout: Layout) -> Tensor:
    """See :func:`sgt.models.attention.attend`; of one image."""
    observe(index, q.transpose(0, 1), k.transpose(0, 1))
    return attend(q, k, v, layout)
