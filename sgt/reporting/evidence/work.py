"""How a result was made, from its record."""

import re
from collections.abc import Mapping
from typing import Any

from sgt.reporting.evidence.schema import Code, Device, Environment, Work


def work_of(record: Mapping[str, Any], seconds: float | None, processes: int = 1) -> Work:
    """How a result was made.

    Args:
        record: with ``command`` and ``code``, and if they were recorded ``environment`` and ``device``.
        seconds: wall time, if it is known.
        processes: that worked on it, each on a device of its own.
    """
    device = Device(**record["device"]) if record.get("device") else None
    return Work(
        command=record["command"],
        code=code_of(record["code"]),
        environment=Environment(**record["environment"]) if record.get("environment") else None,
        device=device,
        seconds=seconds,
        gpu_hours=_gpu_hours(device, seconds, processes),
    )


def code_of(revision: str) -> Code:
    """What a text of :func:`sgt.revision.code_revision` says."""
    found = re.fullmatch(r"([0-9a-f]{40,64})(\+| \(archive\))?", revision)
    if found is None:
        return Code(revision=None, clean=None)
    return Code(revision=found[1], clean={None: True, "+": False, " (archive)": None}[found[2]])


def _gpu_hours(device: Device | None, seconds: float | None, processes: int) -> float | None:
    if device is None or device.type == "cpu":
        return None if device is None else 0.0
    return None if seconds is None else seconds * processes / 3600
