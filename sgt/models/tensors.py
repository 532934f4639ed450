"""Dataclasses whose fields are tensors, among others."""

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Tensors = TypeVar("Tensors", bound="DataclassInstance")


def moved(tensors: Tensors, device: torch.device | str) -> Tensors:
    """A copy of a dataclass with every field that is a tensor on ``device``."""
    values = {field.name: getattr(tensors, field.name) for field in fields(tensors)}
    on_device: dict[str, Any] = {name: value.to(device) for name, value in values.items() if isinstance(value, Tensor)}
    return replace(tensors, **on_device)
