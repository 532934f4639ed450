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
from torch.distributed import TCPStore

from sgt.atomic import sha256
from tests.training import events as happenings
from tests.training.events import Event

ROOT = Path(__file__).parents[2]
# Its processes have everything imported already, and nothing of torch running.
FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(
    ["sgt.training.train", "accelerate", "transformers.models.qwen2_5_vl.modeling_qwen2_5_vl"]
)
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

    def meet(self, *events: Event, processes: int = 1) -> tuple[int, str]:
        """Run it in forked processes, which start sooner than those of a launcher, and in which the events happen.

        Returns:
            The exit status (negative: a signal) of the first process that failed, and what all of them wrote.
        """
        said = Path("said").resolve()
        store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False) if processes > 1 else None
        forked = [
            FORKED.Process(
                target=happenings.run, args=(Path.cwd(), events, self.words, said, _launched(rank, processes, store))
            )
            for rank in range(processes)
        ]
        for process in forked:
            process.start()
        for process in forked:
            process.join()
        words = said.read_text()
        said.unlink()
        return next((process.exitcode for process in forked if process.exitcode), 0), words

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


def _launched(rank: int, processes: int, store: TCPStore | None) -> dict[str, str]:
    """What ``torchrun`` puts into the environment of a process; nothing for one on its own."""
    if store is None:
        return {}
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
    meeting = {"MASTER_ADDR": store.host, "MASTER_PORT": store.port}
    agent = {"TORCHELASTIC_USE_AGENT_STORE": True, "TORCHELASTIC_RESTART_COUNT": 0}
    return {name: str(value) for name, value in {**place, **meeting, **agent}.items()}


@pytest.fixture
def run(study):
    """The segmentation arm of a prepared study."""
    return Micro("segmentation")
