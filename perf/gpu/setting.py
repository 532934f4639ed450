"""What is measured: the models at their sizes on a GPU, or the tiny ones on any device."""

from dataclasses import dataclass

import torch

from perf.random_bagel import spec_of
from sgt.config.models import Model
from sgt.config.recipe import Optimizer, Recipe


@dataclass(frozen=True)
class Setting:
    """The device and the sizes of everything that is measured.

    Attributes:
        device: where it is measured.
        tiny: with the tiny models and small packs, to try the command itself.
    """

    device: torch.device
    tiny: bool

    @property
    def bagel(self) -> Model:
        """BAGEL's file in ``config/models``."""
        return spec_of("bagel-tiny" if self.tiny else "bagel-7b")

    @property
    def omnigen2(self) -> Model:
        """OmniGen2's."""
        return spec_of("omnigen2-tiny" if self.tiny else "omnigen2")

    @property
    def short_pack(self) -> int:
        """Tokens of the shorter pack."""
        return 400 if self.tiny else 16384

    @property
    def long_pack(self) -> int:
        """Tokens of the longer pack: those of the official recipe."""
        return 600 if self.tiny else 36864

    @property
    def steps(self) -> int:
        """Timed training steps, after one that warms up."""
        return 1 if self.tiny else 4

    def recipe(self, **changes: object) -> Recipe:
        """All weights in bf16, rounded stochastically, activations recomputed; the rest as ``changes`` say."""
        optimizer = Optimizer(lr=1e-5, rounding="stochastic")
        about = {"precision": "bf16", "activation_checkpointing": True, "optimizer": optimizer, **changes}
        return Recipe(steps=1, batch=3, **about)


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()
