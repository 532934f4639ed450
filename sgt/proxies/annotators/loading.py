"""Fetched models in the layout of the hub: ``config.json``, safetensors, and how images are scaled for them.

The image processors of some of these models need torchvision, which is not installed. The few steps that they take are
done here, with the numbers of their files.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import PreTrainedModel

from sgt.pretrained import load_pretrained, no_model


def preprocessor_settings(folder: Path) -> dict[str, Any]:
    """The settings of a model's image processor: ``preprocessor_config.json``, or a part of ``processor_config.json``.

    Raises:
        OSError, ValueError, KeyError, TypeError: neither is there with such settings.
    """
    path = folder / "preprocessor_config.json"
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    return json.loads((folder / "processor_config.json").read_text(encoding="utf-8"))["image_processor"]


def load(kind: type[PreTrainedModel], folder: Path, name: str) -> tuple[Any, dict[str, Any]]:
    """A fetched model for inference, on the GPU if there is one, with the settings of its image processor.

    Args:
        kind: its class.
        folder: of the fetched model.
        name: of the model, for messages.

    Raises:
        SgtError: the folder has no such model, or a weight is missing.
    """
    try:
        settings = preprocessor_settings(folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise no_model(folder, f"{name} model", error) from None
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return load_pretrained(kind, folder, device, f"{name} model"), settings


def normalised(image: Image.Image, size: tuple[int, int], settings: dict[str, Any]) -> torch.Tensor:
    """An image for a model.

    Args:
        image: RGB.
        size: (width, height) that it is resized to, bilinear.
        settings: of the image processor, with ``image_mean`` and ``image_std`` of the channels.

    Returns:
        float32 (3, height, width).
    """
    resized = image.resize(size, Image.Resampling.BILINEAR) if image.size != size else image
    mean, std = (np.array(settings[name], np.float32) for name in ("image_mean", "image_std"))
    pixels = (np.asarray(resized, np.float32) / 255 - mean) / std
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
