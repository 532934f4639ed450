"""Models of a study: loading and creating them, and hashes of their files."""

import hashlib
import json
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from tokenizers import Tokenizer

from sgt.atomic import sha256
from sgt.config.fields import Precision
from sgt.config.models import Model
from sgt.errors import SgtError
from sgt.models.family import family_of
from sgt.models.rules import rules_of
from sgt.models.sizes import ModelSizes
from sgt.models.tokenizer import VOCABULARY
from sgt.models.transforms import TargetTransform
from sgt.models.unified import UnifiedModel
from sgt.models.vae import VAE
from sgt.models.weights import weight_files

# Of the weights.
DTYPES = {"fp32": torch.float32, "bf16-autocast": torch.float32, "bf16": torch.bfloat16}


def load_model(
    spec: Model, folder: Path, precision: Precision | None = None, device: torch.device | None = None
) -> UnifiedModel:
    """Load a checkpoint of a model; its base checkpoint with what is laid over it.

    Args:
        spec: the model.
        folder: its base checkpoint, or one trained from it.
        precision: the model's own if None.
        device: that of the model's file if None.
    """
    overlay = Path(spec.overlay) if spec.overlay and folder == Path(spec.checkpoint) else None
    precision = precision or spec.precision
    images = rules_of(spec.family).images(spec)
    model = family_of(spec.family).model.from_checkpoint(
        folder, images, DTYPES[precision], device or device_of(spec), overlay
    )
    model.autocast = precision == "bf16-autocast"
    return model


def model_without_weights(spec: Model) -> UnifiedModel:
    """The base model of a study's model without its weights, to check examples with."""
    return family_of(spec.family).model.without_weights(Path(spec.checkpoint), rules_of(spec.family).images(spec))


def device_of(spec: Model) -> torch.device:
    """Where a model runs.

    Raises:
        SgtError: the model needs CUDA and there is none.
    """
    if spec.device == "cuda" and not torch.cuda.is_available():
        raise SgtError(f"model {spec.name}: device", "there is no CUDA device", "set auto or cpu, or repair the driver")
    device = "cuda" if spec.device == "auto" and torch.cuda.is_available() else spec.device
    return torch.device("cpu" if device == "auto" else device)


def describe_device(device: torch.device) -> dict[str, str]:
    """What a result was computed on, for its record: ``type`` (``cpu`` or ``cuda``) and the hardware's ``name``."""
    if device.type == "cuda":
        return {"type": device.type, "name": torch.cuda.get_device_name(device)}
    return {"type": device.type, "name": _processor()}


def _processor() -> str:
    try:
        names = re.findall(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.M)
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def create_model(spec: Model, tokenizer: Tokenizer, vae: VAE, folder: Path, seed: int) -> UnifiedModel:
    """Write an untrained checkpoint of a model into an existing folder and load it.

    Raises:
        SgtError: the model's file gives no architecture.
    """
    if spec.architecture is None:
        raise SgtError(f"model {spec.name}: architecture", "is missing", "give the sizes of the model")
    images = rules_of(spec.family).images(spec)
    family_of(spec.family).create(spec.architecture, tokenizer, vae, images, folder, seed)
    return load_model(spec, folder)


def sizes_of(spec: Model) -> ModelSizes | None:
    """What memory and time depend on; None if the model's file gives no architecture."""
    if spec.architecture is None:
        return None
    return family_of(spec.family).sizes(spec.architecture, VOCABULARY if spec.pretrain else None)


def target_transform(spec: Model) -> TargetTransform:
    """The transform of a model's target images."""
    return family_of(spec.family).target_transform(rules_of(spec.family).images(spec))


def weight_hashes(spec: Model, folder: Path) -> dict[str, str]:
    """SHA-256 of each file of the weights that post-training changes, by its path in the folder.

    Raises:
        SgtError: a file is missing.
    """
    names = [Path(name) for name in rules_of(spec.family).weights]
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
    config, files = family_of(spec.family).stored_vae(folder)
    about = json.dumps(asdict(config), sort_keys=True)
    return hashlib.sha256(f"{about} {weights_sha256(_hashes(files, folder))}".encode()).hexdigest()


def _hashes(files: Sequence[Path], folder: Path) -> dict[str, str]:
    """Hash of each file, by its path in the folder."""
    return {str(file.relative_to(folder)): sha256(file) for file in files}
