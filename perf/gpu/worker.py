"""One step in a process of its own: ``python -m perf.gpu.worker STEP ROWS DEVICE tiny|full``."""

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import torch

from perf.gpu.rows import RowFile
from perf.gpu.setting import Setting
from perf.gpu.steps import STEPS


def main(words: Sequence[str]) -> None:
    """Run a step and append its rows to a file as they are measured."""
    step, path, device, size = words
    if device == "cpu":
        torch.set_num_threads(1)
    rows, run = RowFile(Path(path)), getattr(import_module(STEPS[step].module), STEPS[step].function)
    for row in run(Setting(torch.device(device), size == "tiny")):
        rows.add(row)


if __name__ == "__main__":
    main(sys.argv[1:])
