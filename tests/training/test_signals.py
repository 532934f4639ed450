"""A signal that asks to stop: saved, status 85, and the same bits at the end."""

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from sgt.errors import REQUEUE_STATUS
from tests.conftest import STUDY, write_study

SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2]


@pytest.fixture
def long_run(run):
    """A run of 60 steps, which saves at its end alone unless it is asked to stop."""
    write_study(Path(), recipe={**STUDY["recipe"], "steps": 60, "save_every": 60})
    return run


def stop_in_the_middle(run, number: signal.Signals, processes: int = 1) -> str:
    """Send a signal once some steps are done; returns what was said."""
    process = run.start(processes)
    deadline = time.monotonic() + 120
    metrics = run.work / "metrics.jsonl"
    while not (metrics.exists() and len(metrics.read_text().splitlines()) >= 5):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, number)
    _, said = process.communicate(timeout=60)
    if processes == 1:
        assert process.returncode == REQUEUE_STATUS, said
    return said


def test_stopped_by_each_signal_it_ends_as_if_it_had_not_been(long_run):
    assert long_run.finish()[0] == 0
    whole = long_run.result()
    shutil.rmtree(long_run.folder)
    for number in SIGNALS:
        said = stop_in_the_middle(long_run, number)
        assert f"micro/segmentation/seed0: stopped by {number.name}, saved at step" in said
        assert "Traceback" not in said and not (long_run.folder / "run.json").exists()
        (checkpoint,) = long_run.checkpoints()[-1:]
        assert int(checkpoint.removeprefix("step-")) >= 5
        if number is not SIGNALS[-1]:
            shutil.rmtree(long_run.folder)
    status, said = long_run.finish()
    assert status == 0 and "resuming from" in said
    assert long_run.result() == whole


def test_a_signal_to_two_processes_saves_one_checkpoint_of_both(long_run):
    stop_in_the_middle(long_run, signal.SIGUSR1, processes=2)
    (checkpoint,) = long_run.checkpoints()
    assert len(list((long_run.work / checkpoint).glob("weights-*-of-00002.safetensors"))) == 2
    status, said = long_run.finish()
    assert status == 0 and "resuming from" in said
    assert [line[0] for line in long_run.losses()] == list(range(60))
