"""Runs of the small study, started as a user starts them."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from sgt.atomic import sha256
from tests.training import events as happenings
from tests.training.events import Event

ROOT = Path(__file__).parents[2]
# Its processes have everything imported already, and nothing of torch running.
FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(["sgt.training.train"])
# All steps are done and saved, and the checkpoints are there still.
BEFORE_ITS_END = Event("sgt.training.train.whole_weights")


class Micro:
    """One run of the small study in the working directory."""

    def __init__(self, arm: str, model: str = "micro") -> None:
        self.words = ["train", "config/micro.yaml", "--model", model, "--arm", arm, "--seed", "0"]
        self.folder = Path("results/runs") / model / arm / "seed0"
        self.work = self.folder / "work"

    def start(self, processes: int = 1, prefix: tuple[str, ...] = (), events: Sequence[Event] = ()) -> subprocess.Popen:
        """Start it in processes of its own, in which the events happen."""
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        what = [happenings.__file__, json.dumps([vars(event) for event in events])] if events else ["-m", "sgt"]
        python = [sys.executable, *(launcher if processes > 1 else []), *what]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(
            [*prefix, *python, *self.words], stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
        )

    def finish(self, processes: int = 1, prefix: tuple[str, ...] = (), events: Sequence[Event] = ()) -> tuple[int, str]:
        """Start it and wait; its exit status and what it said."""
        process = self.start(processes, prefix, events)
        try:
            _, said = process.communicate(timeout=180)
        finally:
            if process.poll() is None:
                # A launcher's processes are in sessions of their own.
                for one in (*psutil.Process(process.pid).children(recursive=True), process):
                    one.kill()
        return process.returncode, said

    def meet(self, *events: Event) -> tuple[int, str]:
        """Run it in a forked process in which the events happen; its exit status (negative: a signal) and its words."""
        said = Path("said").resolve()
        process = FORKED.Process(target=happenings.run, args=(Path.cwd(), events, self.words, said))
        process.start()
        process.join()
        words = said.read_text()
        said.unlink()
        return process.exitcode, words

    def killed(self, event: Event) -> None:
        """Run it in a forked process until the event kills it."""
        status, said = self.meet(event)
        assert status == -signal.SIGKILL, said

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
