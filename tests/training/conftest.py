"""Runs of the small study, started as a user starts them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sgt.atomic import sha256

ROOT = Path(__file__).parents[2]


class Micro:
    """One run of the small study in the working directory."""

    def __init__(self, arm: str, model: str = "micro") -> None:
        self.words = ["train", "config/micro.yaml", "--model", model, "--arm", arm, "--seed", "0"]
        self.folder = Path("results/runs") / model / arm / "seed0"
        self.work = self.folder / "work"

    def start(self, processes: int = 1, prefix: tuple[str, ...] = ()) -> subprocess.Popen:
        """Start it in processes of its own."""
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        python = [sys.executable, *(launcher if processes > 1 else []), "-m", "sgt"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(
            [*prefix, *python, *self.words], stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
        )

    def finish(self, processes: int = 1, prefix: tuple[str, ...] = ()) -> tuple[int, str]:
        """Start it and wait; its exit status and what it said."""
        process = self.start(processes, prefix)
        _, said = process.communicate(timeout=180)
        return process.returncode, said

    def losses(self) -> list[tuple]:
        """Step, losses and gradient norm of every step."""
        lines = [json.loads(line) for line in (self.folder / "metrics.jsonl").read_text().splitlines()]
        return [(line["step"], line["ce"], line["mse"], line["grad_norm"]) for line in lines]

    def result(self) -> tuple:
        """What must be the same bit by bit."""
        return sha256(self.folder / "final/ema.safetensors"), self.losses()

    def checkpoints(self) -> list[str]:
        """Names of its resumable checkpoints."""
        return sorted(path.name for path in self.work.glob("step-*"))


@pytest.fixture
def run(study):
    """The segmentation arm of a prepared study."""
    return Micro("segmentation")
