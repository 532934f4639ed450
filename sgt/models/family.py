"""What the rest of the package needs of a model family."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from sgt.models.rules import rules_of
from sgt.models.sizes import ModelSizes
from sgt.models.transforms import TargetTransform
from sgt.models.unified import UnifiedModel
from sgt.models.vae import VAE, VAEConfig


@dataclass(frozen=True)
class Family:
    """A family's entry: ``FAMILY`` of ``family.py`` in its folder. ``images`` is what its rules read of a model's file.

    Attributes:
        model: its class.
        target_transform: of target images, from ``images``.
        special_tokens: markers that its tokenizer has.
        prompt_texts: fixed texts that it puts around every prompt.
        tensors: the tensors and dtypes of its files, from an architecture, without any numbers.
        stored_vae: the configuration and the weight files of the VAE in a checkpoint.
        create: writes an untrained checkpoint, from an architecture, tokenizer, VAE, ``images``, folder and seed.
        sizes: what memory and time depend on, from an architecture and, if a tokenizer decides it, the vocabulary.
    """

    model: type[UnifiedModel]
    target_transform: Callable[[Any], TargetTransform]
    special_tokens: Sequence[str]
    prompt_texts: Sequence[str]
    tensors: Callable[[dict], dict[str, tuple[dict, Any]]]
    stored_vae: Callable[[Path], tuple[VAEConfig, list[Path]]]
    create: Callable[[dict, Tokenizer, VAE, Any, Path, int], None]
    sizes: Callable[[dict, int | None], ModelSizes]


@cache
def family_of(name: str) -> Family:
    """A family by name.

    Raises:
        SgtError: there is none of that name.
    """
    rules_of(name)
    return import_module(f"sgt.models.{name}.family").FAMILY
