"""Configuration files of official checkpoints, as the classes that hold sizes."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from sgt.errors import SgtError
from sgt.json_files import read_json

REFETCH = "fetch the file again"
# Keys about a nested part's own file, not about the model.
OF_A_FILE = {"model_type", "architectures", "transformers_version", "dtype", "torch_dtype", "_name_or_path"}


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
        return read_json(path, REFETCH)
    except FileNotFoundError:
        raise SgtError(path, "no such file", "point at a folder in the model's official layout") from None


def flat(path: Path, content: dict[str, Any], part: str) -> dict[str, Any]:
    """A configuration in the flat form of older versions of transformers; newer ones write ``part`` as an object in it.

    Raises:
        SgtError: ``part`` is there, and is no object.
    """
    inner = content.get(part)
    if inner is None:
        return content
    if not isinstance(inner, dict):
        raise SgtError(path, f"{part} is {inner!r}, not an object", REFETCH)
    outer = {key: value for key, value in content.items() if key != part}
    return outer | {key: value for key, value in inner.items() if key not in OF_A_FILE}


def require_sizes(path: Path, values: dict[str, Any], names: Iterable[str], prefix: str = "") -> None:
    """See that sizes are there, whole and above 0; a default of transformers would be another model's.

    Raises:
        SgtError: one is not.
    """
    for name in names:
        value = values.get(name)
        if value is None:
            raise SgtError(path, f"has no {prefix}{name}", REFETCH)
        if not isinstance(value, int) or value < 1 or isinstance(value, bool):
            raise SgtError(path, f"{prefix}{name} is {value!r}, not a whole number above 0", REFETCH)


def rotation(path: Path, values: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    """The base of the rotary frequencies and how they are scaled, under the names of any version of transformers.

    transformers 5 has both in ``rope_parameters``; 4 has ``rope_theta``, and ``rope_scaling`` or null.

    Raises:
        SgtError: there is no base, or it is no number above 0.
    """
    scaling: dict[str, Any] = {}
    for name in ("rope_parameters", "rope_scaling"):
        part = values.get(name) or {}
        if not isinstance(part, dict):
            raise SgtError(path, f"{name} is {part!r}, not an object", REFETCH)
        scaling |= part
    theta = scaling.pop("rope_theta", values.get("rope_theta"))
    if theta is None:
        raise SgtError(path, "has no rope_theta", REFETCH)
    if not isinstance(theta, int | float) or theta <= 0 or isinstance(theta, bool):
        raise SgtError(path, f"rope_theta is {theta!r}, not a number above 0", REFETCH)
    return theta, scaling


def pick(kind: type, values: dict[str, Any]) -> Any:
    """Build ``kind`` from the keys that are its fields; official files have many others. Null means the default."""
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
