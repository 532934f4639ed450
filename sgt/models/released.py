"""Released models: a folder with a checkpoint in its family's official layout, and the file that tells how to load it.

The official layout does not say how images are scaled, so ``sgt.yaml`` beside it has what a file of ``config/models``
has, without the folders and the resources of the machine where the model was trained.
"""

from pathlib import Path

import torch
import yaml

from sgt.atomic import write_text
from sgt.config.fields import Precision
from sgt.config.files import read_yaml
from sgt.config.models import Model
from sgt.models.registry import load_model
from sgt.models.unified import UnifiedModel

MODEL_FILE = "sgt.yaml"
# Of a model's file: where it lay, who made it, how it was pretrained, and what a job of it needed.
LEFT_OUT = {"overlay", "released", "pretrain", "train", "predict"}


def write_model_file(spec: Model, folder: Path) -> None:
    """Write ``sgt.yaml`` into a folder that has a checkpoint of this model."""
    about = spec.model_dump(mode="json", exclude=LEFT_OUT, exclude_none=True)
    write_text(folder / MODEL_FILE, yaml.safe_dump({**about, "checkpoint": ".", "device": "auto"}, sort_keys=False))


def read_model_file(folder: Path) -> Model:
    """The model of a folder that ``sgt export`` made, with that folder as its checkpoint.

    Raises:
        SgtError: ``sgt.yaml`` is missing or not valid.
    """
    return read_yaml(folder / MODEL_FILE, Model).model_copy(update={"checkpoint": str(folder)})


def load_released(
    folder: Path | str, precision: Precision | None = None, device: torch.device | None = None
) -> UnifiedModel:
    """Load a model from the folder that ``sgt export`` made, which needs nothing from outside it.

    Args:
        folder: with ``sgt.yaml`` and the checkpoint.
        precision: that of ``sgt.yaml`` if None.
        device: CUDA if None and there is some, else the CPU.

    Raises:
        SgtError: a file or tensor is missing, unexpected or misshapen.
    """
    folder = Path(folder)
    return load_model(read_model_file(folder), folder, precision, device)
