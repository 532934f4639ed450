"""The report: one JSON file with every figure, and one Markdown file to read."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from perf.gpu.rows import Row, described

PACKAGES = ("torch", "transformers", "numpy", "triton")
# Columns of the table of training, by the figure's name.
TRAINING = {
    "tokens": "tokens",
    "layers": "layers",
    "tokens_per_s": "tokens/s",
    "tflop_per_s": "TFLOP/s",
    "mfu": "MFU",
    "peak_gb": "peak GB",
    "estimated_gb": "estimated GB",
    "forward_s": "forward s",
    "backward_s": "backward s",
    "update_s": "update s",
}


@dataclass(frozen=True)
class Outcome:
    """How a step ended.

    Attributes:
        step: its name.
        seconds: of its process.
        ended: ``complete``, or why it is not.
    """

    step: str
    seconds: float
    ended: str


def about_machine() -> dict[str, str]:
    """Processor, GPU with its memory and driver (empty if there is none), and versions."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        gpu = subprocess.run(query, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        gpu = ""
    found = {"gpu": gpu, "cpus": str(os.cpu_count()), "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "none"
    return found


def write_report(folder: Path, machine: dict[str, str], outcomes: Sequence[Outcome], rows: Sequence[Row]) -> None:
    """Write ``results.json`` and ``results.md``.

    Args:
        folder: an existing one.
        machine: from :func:`about_machine`.
        outcomes: of the steps so far.
        rows: of these; of several about the same, the last counts.
    """
    latest = list({(row.step, row.what): row for row in rows}.values())
    about = {"machine": machine, "steps": list(map(asdict, outcomes)), "rows": list(map(asdict, latest))}
    (folder / "results.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    trained = [row for row in latest if "tokens_per_s" in row.figures and "forward_s" in row.figures]
    lines = ["# One GPU", "", ", ".join(f"{name} {value or 'none'}" for name, value in machine.items()), ""]
    lines += table(["training step", *TRAINING.values()], [[row.what, *map(shown(row), TRAINING)] for row in trained])
    rest = [[row.step, row.what, described(row)] for row in latest if row not in trained]
    lines += table(["step", "what", "figures"], rest)
    ended = [[each.step, f"{each.seconds:.0f}", each.ended.replace("\n", " ")] for each in outcomes]
    lines += table(["step", "seconds", "ended"], ended)
    (folder / "results.md").write_text("\n".join(lines), encoding="utf-8")


def shown(row: Row):
    """A function of a figure's name: its value as the table shows it."""

    def show(name: str) -> str:
        value = row.figures.get(name, "–")
        if isinstance(value, float):
            return f"{value:.1%}" if name == "mfu" else f"{value:.4g}"
        return str(value)

    return show


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table, and an empty one."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (head, ["---"] * len(head), *rows)]
    return [*("| " + " | ".join(row) + " |" for row in cells), ""]
