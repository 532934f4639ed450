"""Loading the evaluators' models from folders in the layout of the hub."""

from pathlib import Path
from typing import Any

import torch

from sgt.errors import SgtError


def load_model(kind: Any, folder: Path, device: torch.device) -> Any:
    """A model of transformers in fp32, ready to use, with every weight from the folder's safetensors.

    Args:
        kind: the class of transformers.
        folder: with ``config.json`` and ``*.safetensors``.
        device: of the model.

    Raises:
        SgtError: there is no such model in the folder, or a weight is missing or of another shape. Such a model would
            run and give scores that mean nothing.
    """
    try:
        model, loaded = kind.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        problem = f"no {kind.__name__} ({' '.join(str(error).split())[:200]})"
        raise SgtError(folder, problem, "fetch it (sgt fetch)") from None
    if lacking := sorted(map(str, [*loaded["missing_keys"], *loaded["mismatched_keys"]])):
        problem = f"{len(lacking)} weights are missing or of another shape, such as {lacking[0]}"
        raise SgtError(folder, problem, f"fetch the weights of a {kind.__name__}")
    return model.to(device).eval()
