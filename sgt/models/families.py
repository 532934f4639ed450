"""The model families by name: the one place that knows them all."""

from pathlib import Path

from tokenizers import Tokenizer

from sgt.models.bagel import checkpoint as bagel_checkpoint
from sgt.models.bagel import create as bagel_create
from sgt.models.bagel.model import Bagel
from sgt.models.base import UnifiedModel
from sgt.models.vae import VAE
from sgt.study.models import Model

FAMILIES: dict[str, type[UnifiedModel]] = {"bagel": Bagel}
SPECIAL_TOKENS = {"bagel": bagel_checkpoint.SPECIAL}
EMPTY = {"bagel": bagel_checkpoint.empty_networks}
CREATE = {"bagel": bagel_create.create_checkpoint}


def load_model(spec: Model, folder: Path) -> UnifiedModel:
    """Load a checkpoint of a model; its base checkpoint with what is laid over it."""
    overlay = Path(spec.overlay) if spec.overlay and folder == Path(spec.checkpoint) else None
    return FAMILIES[spec.family].from_checkpoint(folder, spec.vit_image, spec.vae_image, overlay=overlay)


def create_model(spec: Model, tokenizer: Tokenizer, vae: VAE, folder: Path, seed: int) -> UnifiedModel:
    """Write an untrained checkpoint of a model into an existing folder and load it."""
    CREATE[spec.family](spec.architecture, tokenizer, vae, folder, seed)
    return load_model(spec, folder)
