"""The vision encoder of a BAGEL, for measurements."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from PIL import Image
from torch import Tensor

from sgt.models.attention import Layout, attend, full_layout
from sgt.models.bagel.base import BagelBase
from sgt.models.bagel.packing import patch_ids
from sgt.models.tower import ObserveAttention, TowerLayer, VisionTower
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
        network, pixels = self._model.network, self._model.vqa_transform(image).to(self._model.device)
        size = network.config.vit.patch_size
        tokens = patches(pixels, size).to(network.dtype)
        grid = pixels.shape[1] // size, pixels.shape[2] // size
        ids = patch_ids(*grid, network.config.vit_max_num_patch_per_side, "ViT image").to(pixels.device)
        with self._model.arithmetic():
            return self._vit(tokens, ids, full_layout([len(tokens)], pixels.device))

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
