"""Configuration files of official checkpoints, as the classes that hold sizes."""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from sgt.errors import SgtError


@dataclass(frozen=True)
class VAEConfig:
    """Sizes of the autoencoder. The defaults are FLUX.1's.

    Attributes:
        ch: channels of the first level; each level has ``ch * ch_mult[level]``.
        num_res_blocks: residual blocks per encoder level (the decoder has one more).
        z_channels: latent channels.
        norm_groups: groups of every GroupNorm.
        scale_factor, shift_factor: a latent is stored as ``scale * (z - shift)``.
    """

    in_channels: int = 3
    out_ch: int = 3
    ch: int = 128
    ch_mult: tuple[int, ...] = (1, 2, 4, 4)
    num_res_blocks: int = 2
    z_channels: int = 16
    norm_groups: int = 32
    scale_factor: float = 0.3611
    shift_factor: float = 0.1159

    @property
    def downsample(self) -> int:
        """Image pixels per latent cell, per side."""
        return 2 ** (len(self.ch_mult) - 1)


def read_config_file(path: Path) -> dict[str, Any]:
    """One JSON file of a checkpoint.

    Raises:
        SgtError: it is missing, not JSON, or not an object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SgtError(path, "no such file", "point at a folder in the model's official layout") from None
    except ValueError as error:
        raise SgtError(path, f"not valid JSON ({error})", "fetch the file again") from None
    if not isinstance(content, dict):
        raise SgtError(path, "not a JSON object", "fetch the file again")
    return content


def pick(kind: type, values: dict[str, Any]) -> Any:
    """Build ``kind`` from the keys it knows; the official files carry many others. Null means the default."""
    known = {field.name for field in fields(kind)}
    picked = {key: value for key, value in values.items() if key in known and value is not None}
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in picked.items()})


def check_architecture(given: dict[str, Any], known: dict[str, Any], part: str = "architecture") -> None:
    """See that an architecture of ``config/models`` gives sizes that are known, as the kind of value that they are.

    Args:
        given: the architecture, or a part of it.
        known: every field with a value of its kind; a part is a dictionary of its own.
        part: where it stands, for messages.

    Raises:
        SgtError: a field is unknown, or its value is of another kind.
    """
    for name, value in given.items():
        where = f"{part}.{name}"
        if name not in known:
            raise SgtError(where, "unknown key", "remove it, or check its spelling")
        if not _alike(value, known[name]):
            raise SgtError(where, f"{value!r} is no such value as {known[name]!r}", "see the published configuration")
        if isinstance(value, dict):
            check_architecture(value, known[name], where)


def _alike(value: Any, example: Any) -> bool:
    match example:
        case bool() | str() | dict():
            return isinstance(value, type(example))
        case int():
            return type(value) is int and value > 0
        case float():
            return type(value) in (int, float)
    return isinstance(value, list | tuple) and len(value) > 0 and all(type(part) is int and part >= 0 for part in value)


def require_multiple(field: str, size: int, of: int, what: str) -> None:
    """See that a size is a whole multiple of another.

    Raises:
        SgtError: it is not.
    """
    if size % of:
        raise SgtError(field, f"{size} is not a multiple of {of}, {what}", "change one of the two")
