"""Loading models of transformers from fetched folders, in the layout of the hub."""

from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging

from sgt.errors import SgtError


def load_pretrained(kind: Any, folder: Path, device: torch.device, name: str | None = None) -> Any:
    """A model for inference in fp32, with every weight from the folder's safetensors.

    Args:
        kind: the class of transformers.
        folder: with ``config.json`` and ``*.safetensors``.
        device: of the model.
        name: of the model, for messages; that of the class if None.

    Raises:
        SgtError: there is no such model in the folder, or a weight is missing or of another shape. Such a model would
            run and give results that mean nothing.
    """
    # Released folders may hold a larger model, of which a part is loaded; transformers warns of that.
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        model, loaded = kind.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise no_model(folder, name or kind.__name__, error) from None
    finally:
        logging.set_verbosity(verbosity)
    if lacking := sorted(map(str, [*loaded["missing_keys"], *loaded["mismatched_keys"]])):
        problem = f"{len(lacking)} weights are missing or of another shape, such as {lacking[0]}"
        raise SgtError(folder, problem, f"fetch the weights of a {kind.__name__}")
    return model.to(device).eval()


def no_model(folder: Path, name: str, error: Exception) -> SgtError:
    """The error of a folder in which a model, or one of its files, cannot be read."""
    return SgtError(folder, f"no {name} ({' '.join(str(error).split())[:200]})", "fetch it (sgt fetch)")
