"""The autoencoder works through few images at once, whatever a batch holds."""

from collections.abc import Callable
from typing import Any
from weakref import finalize

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sgt.config.recipe import Recipe
from sgt.models import estimate, vae
from sgt.models.omnigen2.sizes import omnigen2_sizes
from sgt.models.sizes import Tokens
from sgt.models.vae import PIXELS_AT_ONCE, VAE, VAEConfig

CONFIG = VAEConfig(ch=8, ch_mult=(1, 2), num_res_blocks=1, z_channels=4, norm_groups=4)


@pytest.mark.parametrize("images", [1, 5])
def test_memory_does_not_grow_with_the_images_of_a_batch(images, monkeypatch):
    """A batch of answers that fits may be one of images of a megapixel, which would not be decoded at once."""
    torch.manual_seed(0)
    model, seen = VAE(CONFIG), list[int]()
    for part in (model.encoder, model.decoder):
        part.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    pixels, noise = torch.randn(images, 3, 16, 8), torch.randn(images, 4, 8, 4)

    def alone(run: Callable[..., Tensor], *of_images: Tensor) -> Tensor:
        return torch.cat([run(*(tensor[place, None] for tensor in of_images)) for place in range(images)])

    with torch.no_grad():
        latents = alone(model.encode, pixels, noise)
        decoded = alone(model.decode, latents)
        monkeypatch.setattr(vae, "PIXELS_AT_ONCE", 2 * 16 * 8)
        seen.clear()
        torch.testing.assert_close(model.encode(pixels, noise), latents)
        torch.testing.assert_close(model.decode(latents), decoded)
    assert seen == [1, 1] if images == 1 else seen == [2, 2, 1] * 2


class PeakMemory(TorchDispatchMode):
    """Counts the bytes of the tensors that exist at once; of those on the meta device, too."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes, self.peak, self._known = 0, 0, set[int]()

    def __torch_dispatch__(self, function: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            storage = tensor.untyped_storage()
            if storage._cdata not in self._known:
                self._known.add(storage._cdata)
                self.bytes += storage.nbytes()
                finalize(storage, self._forget, storage._cdata, storage.nbytes())
        self.peak = max(self.peak, self.bytes)
        return made

    def _forget(self, storage: int, size: int) -> None:
        self._known.discard(storage)
        self.bytes -= size


def test_the_estimate_is_what_encoding_takes_of_the_images_that_are_encoded_at_once():
    sizes, recipe = omnigen2_sizes({}), Recipe(steps=1, batch=3, precision="bf16", activation_checkpointing=True)
    with torch.device("meta"), torch.no_grad():
        model, side = VAE(VAEConfig()), 1024
        for images in (1, PIXELS_AT_ONCE // side**2):
            tokens = Tokens(text=0, input_image=0, target_image=4096 * images, supervised=0, pairs=0, vision_pairs=0)
            pixels = torch.empty(images, 3, side, side)
            with PeakMemory() as memory:
                model.encoder(pixels)
            assert estimate.memory(sizes, recipe, tokens, side**2).activations == memory.peak
