"""Runs of the small study, started as a user starts them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest
from torch.distributed import TCPStore

from sgt.atomic import sha256
from tests.forked import FORKED
from tests.training import events as event_runner
from tests.training.events import Event

ROOT = Path(__file__).parents[2]
# After the last step is saved, before the checkpoints are removed.
BEFORE_ITS_END = Event("sgt.training.train.full_weights")


class Micro:
    """One run of the small study in the working directory."""

    def __init__(self, arm: str, model: str = "micro") -> None:
        self.words = ["train", "config/micro.yaml", "--model", model, "--arm", arm, "--seed", "0"]
        self.folder = Path("results/runs") / model / arm / "seed0"
        self.work = self.folder / "work"

    def start(self, processes: int = 1, prefix: tuple[str, ...] = (), events: Sequence[Event] = ()) -> subprocess.Popen:
        """Start it in new processes in which the events are injected."""
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        entry = [event_runner.__file__, json.dumps([vars(event) for event in events])] if events else ["-m", "sgt"]
        python = [sys.executable, *(launcher if processes > 1 else []), *entry]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(
            [*prefix, *python, *self.words], stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
        )

    def finish(self, processes: int = 1, prefix: tuple[str, ...] = (), events: Sequence[Event] = ()) -> tuple[int, str]:
        """Start it and wait; returns its exit status and its output on stderr."""
        process = self.start(processes, prefix, events)
        try:
            _, output = process.communicate(timeout=180)
        finally:
            if process.poll() is None:
                # A launcher starts its processes in their own sessions.
                for child in (*psutil.Process(process.pid).children(recursive=True), process):
                    child.kill()
        return process.returncode, output

    def run_with(self, *events: Event, processes: int = 1) -> tuple[int, str]:
        """Run it with injected events in forked processes, which start sooner than those of a launcher.

        Returns:
            The exit status (negative: a signal) of the first process that failed, and the output of all on stderr.
        """
        log = Path("output.log").resolve()
        store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False) if processes > 1 else None
        forked = [
            FORKED.Process(
                target=event_runner.run, args=(Path.cwd(), events, self.words, log, _launched(rank, processes, store))
            )
            for rank in range(processes)
        ]
        for process in forked:
            process.start()
        for process in forked:
            process.join()
        output = log.read_text()
        log.unlink()
        return next((process.exitcode for process in forked if process.exitcode), 0), output

    def killed(self, event: Event) -> None:
        """Run it in a forked process until the event kills it."""
        status, output = self.run_with(event)
        assert status == -signal.SIGKILL, output

    def losses(self) -> list[tuple]:
        """Step, losses and gradient norm of every step."""
        lines = [json.loads(line) for line in (self.folder / "metrics.jsonl").read_text().splitlines()]
        return [(line["step"], line["ce"], line["mse"], line["grad_norm"]) for line in lines]

    def result(self) -> tuple:
        """What must be bit-identical: the hash of the weights, and the losses."""
        return sha256(self.folder / "final/ema.safetensors"), self.losses()

    def checkpoints(self) -> list[str]:
        """Names of its resumable checkpoints."""
        return sorted(path.name for path in self.work.glob("step-*"))


def _launched(rank: int, processes: int, store: TCPStore | None) -> dict[str, str]:
    """The environment variables of a process: those of this one, and if there are several those of ``torchrun``."""
    if store is None:
        return {**os.environ}
    ranks = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
    rendezvous = {"MASTER_ADDR": store.host, "MASTER_PORT": store.port}
    agent = {"TORCHELASTIC_USE_AGENT_STORE": True, "TORCHELASTIC_RESTART_COUNT": 0}
    return {**os.environ, **{name: str(value) for name, value in {**ranks, **rendezvous, **agent}.items()}}


@pytest.fixture
def run(study):
    """The segmentation arm of a prepared study."""
    return Micro("segmentation")
