"""``sgt tensors``: the tensors of a model's checkpoint, listed without reading any weights."""

import argparse
import json

from sgt.config.models import Model
from sgt.models.family import family_of
from sgt.study.load import load_model_spec

DTYPES = {"torch.bfloat16": "BF16", "torch.float32": "F32"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt tensors``."""
    parser.add_argument("model", help="name of a file in config/models")


def run(args: argparse.Namespace) -> None:
    """Print JSON: file → tensor → shape and dtype, as safetensors names it.

    Raises:
        SgtError: there is no such model.
    """
    print(json.dumps(keys_of(load_model_spec(args.model)), indent=1))


def keys_of(spec: Model) -> dict[str, dict[str, dict]]:
    """Tensors by file and name."""
    files = family_of(spec.family).tensors(spec.architecture or {})
    return {
        file: {name: {"shape": list(tensor.shape), "dtype": DTYPES[str(dtype)]} for name, tensor in tensors.items()}
        for file, (tensors, dtype) in files.items()
    }
