"""The model families by name: the one place that knows them all."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from sgt.atomic import sha256
from sgt.config.fields import Precision
from sgt.config.models import Model
from sgt.errors import SgtError
from sgt.models.bagel import checkpoint as bagel_checkpoint
from sgt.models.bagel import create as bagel_create
from sgt.models.bagel.model import Bagel
from sgt.models.bagel.sizes import bagel_sizes
from sgt.models.omnigen2 import checkpoint as omnigen2_checkpoint
from sgt.models.omnigen2 import create as omnigen2_create
from sgt.models.omnigen2 import prompts as omnigen2_prompts
from sgt.models.omnigen2.images import ReferenceTransform
from sgt.models.omnigen2.model import OmniGen2
from sgt.models.omnigen2.sizes import omnigen2_sizes
from sgt.models.sizes import ModelSizes
from sgt.models.tokenizer import VOCABULARY
from sgt.models.transforms import ImageTransform, TargetTransform, transform_of
from sgt.models.unified import UnifiedModel
from sgt.models.vae import VAE, VAEConfig
from sgt.models.weights import weight_files

WEIGHTS = {"fp32": torch.float32, "bf16-autocast": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Family:
    """What the rest of the package must know of a family.

    Attributes:
        model: its class.
        made_image: the transform of images it makes, from the three numbers of ``vae_image``.
        special_tokens: markers that its tokenizer has.
        prompt_texts: texts that it puts around every prompt.
        tensors: the tensors and dtypes of its files, from an architecture, without any numbers.
        stored_vae: the configuration and the weight files of the VAE in a checkpoint.
        create: writes an untrained checkpoint.
        sizes: what memory and time depend on, from an architecture and, if a tokenizer decides it, the vocabulary.
    """

    model: type[UnifiedModel]
    made_image: Callable[[int, int, int], TargetTransform]
    special_tokens: Sequence[str]
    prompt_texts: Sequence[str]
    tensors: Callable[[dict], dict[str, tuple[dict, Any]]]
    stored_vae: Callable[[Path], tuple[VAEConfig, list[Path]]]
    create: Callable[[dict, Tokenizer, VAE, Sequence[int], Path, int], None]
    sizes: Callable[[dict, int | None], ModelSizes]


FAMILIES = {
    "bagel": Family(
        Bagel,
        ImageTransform,
        bagel_checkpoint.SPECIAL,
        (),
        bagel_checkpoint.empty_tensors,
        bagel_checkpoint.stored_vae,
        bagel_create.create_checkpoint,
        bagel_sizes,
    ),
    "omnigen2": Family(
        OmniGen2,
        ReferenceTransform,
        omnigen2_prompts.SPECIAL,
        omnigen2_prompts.SAID,
        omnigen2_checkpoint.empty_tensors,
        omnigen2_checkpoint.stored_vae,
        omnigen2_create.create_checkpoint,
        omnigen2_sizes,
    ),
}


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
    model = FAMILIES[spec.family].model.from_checkpoint(
        folder, spec.vit_image, spec.vae_image, WEIGHTS[precision], device or device_of(spec), overlay
    )
    model.autocast = precision == "bf16-autocast"
    if spec.vqa_image:
        model.vqa_transform = transform_of(spec.vqa_image)
    return model


def model_without_weights(spec: Model) -> UnifiedModel:
    """The base model of a study's model without its weights, to judge examples with."""
    folder = Path(spec.checkpoint)
    model = FAMILIES[spec.family].model.without_weights(folder, spec.vit_image, spec.vae_image)
    if spec.vqa_image:
        model.vqa_transform = transform_of(spec.vqa_image)
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
    FAMILIES[spec.family].create(spec.architecture, tokenizer, vae, spec.vit_image, folder, seed)
    return load_model(spec, folder)


def sizes_of(spec: Model) -> ModelSizes | None:
    """What memory and time depend on; None if the model's file gives no architecture."""
    if spec.architecture is None:
        return None
    return FAMILIES[spec.family].sizes(spec.architecture, VOCABULARY if spec.pretrain else None)


def made_image(spec: Model) -> TargetTransform:
    """The transform of images that a model makes."""
    return FAMILIES[spec.family].made_image(*spec.vae_image)


def weight_hashes(spec: Model, folder: Path) -> dict[str, str]:
    """SHA-256 of each file of the weights that post-training changes, by its path in the folder.

    Raises:
        SgtError: a file is missing.
    """
    names = [Path(name) for name in spec.weights]
    return _hashes([part for name in names for part in weight_files(folder / name.parent, name.stem)], folder)


def weights_sha256(hashes: dict[str, str]) -> str:
    """One hash of the weights: that of their file, or of the list of the files' hashes."""
    if len(hashes) == 1:
        return next(iter(hashes.values()))
    listed = "".join(f"{digest}  {name}\n" for name, digest in hashes.items())
    return hashlib.sha256(listed.encode()).hexdigest()


def vae_sha256(spec: Model, folder: Path) -> str:
    """Hash of a checkpoint's VAE: of its configuration and weights.

    Raises:
        SgtError: a file is missing or damaged.
    """
    config, files = FAMILIES[spec.family].stored_vae(folder)
    about = json.dumps(asdict(config), sort_keys=True)
    return hashlib.sha256(f"{about} {weights_sha256(_hashes(files, folder))}".encode()).hexdigest()


def _hashes(files: Sequence[Path], folder: Path) -> dict[str, str]:
    """Hash of each file, by its path in the folder."""
    return {str(file.relative_to(folder)): sha256(file) for file in files}
