"""Configuration files of official checkpoints, as the classes that hold sizes."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from sgt.errors import SgtError


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
