"""Configuration files of official checkpoints, as the classes that hold sizes."""

import json
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

from sgt.errors import SgtError

REFETCH = "fetch the file again"
# What a nested part says of itself, not of the model.
OF_A_FILE = {"model_type", "architectures", "transformers_version", "dtype", "torch_dtype", "_name_or_path"}


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
        raise SgtError(path, f"not valid JSON ({error})", REFETCH) from None
    if not isinstance(content, dict):
        raise SgtError(path, "not a JSON object", REFETCH)
    return content


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
    """Build ``kind`` from the keys it knows; the official files carry many others. Null means the default."""
    known = {field.name for field in fields(kind)}
    picked = {key: value for key, value in values.items() if key in known and value is not None}
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in picked.items()})
