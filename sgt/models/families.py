"""The model families by name: the one place that knows them all."""

from pathlib import Path

import torch
from tokenizers import Tokenizer

from sgt.errors import SgtError
from sgt.models.bagel import checkpoint as bagel_checkpoint
from sgt.models.bagel import create as bagel_create
from sgt.models.bagel.model import Bagel
from sgt.models.bagel.sizes import bagel_sizes
from sgt.models.base import UnifiedModel
from sgt.models.vae import VAE
from sgt.study.fields import Precision
from sgt.study.models import Model

FAMILIES: dict[str, type[UnifiedModel]] = {"bagel": Bagel}
SPECIAL_TOKENS = {"bagel": bagel_checkpoint.SPECIAL}
EMPTY = {"bagel": bagel_checkpoint.empty_networks}
CREATE = {"bagel": bagel_create.create_checkpoint}
SIZES = {"bagel": bagel_sizes}
WEIGHTS = {"fp32": torch.float32, "bf16-autocast": torch.float32, "bf16": torch.bfloat16}


def load_model(
    spec: Model, folder: Path, precision: Precision | None = None, device: torch.device | None = None
) -> UnifiedModel:
    """Load a checkpoint of a model; its base checkpoint with what is laid over it.

    Args:
        spec: the model.
        folder: its base checkpoint, or one trained from it.
        precision: the model's own if None.
        device: where the model says if None.
    """
    overlay = Path(spec.overlay) if spec.overlay and folder == Path(spec.checkpoint) else None
    precision = precision or spec.precision
    model = FAMILIES[spec.family].from_checkpoint(
        folder, spec.vit_image, spec.vae_image, WEIGHTS[precision], device or device_of(spec), overlay
    )
    model.autocast = precision == "bf16-autocast"
    return model


def device_of(spec: Model) -> torch.device:
    """Where a model runs.

    Raises:
        SgtError: it wants CUDA and there is none.
    """
    if spec.device == "cuda" and not torch.cuda.is_available():
        raise SgtError(f"model {spec.name}: device", "there is no CUDA device", "say auto or cpu, or mend the driver")
    chosen = "cuda" if spec.device == "auto" and torch.cuda.is_available() else spec.device
    return torch.device("cpu" if chosen == "auto" else chosen)


def create_model(spec: Model, tokenizer: Tokenizer, vae: VAE, folder: Path, seed: int) -> UnifiedModel:
    """Write an untrained checkpoint of a model into an existing folder and load it."""
    CREATE[spec.family](spec.architecture, tokenizer, vae, folder, seed)
    return load_model(spec, folder)
