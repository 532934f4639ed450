"""Finished runs: what is kept, and what happens when they are started again or twice at the same time."""

import json
import os
import re
import shutil
import signal
import socket
from pathlib import Path

import pytest

from tests.conftest import STUDY, sgt, write_study
from tests.training.events import Event

TRAINS = "sgt.training.train.post_train"


def snapshot(folder: Path) -> dict[str, tuple]:
    """Content and modification time of every file but the lock."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "lock"]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.fixture
def done(run, study):
    """A finished run."""
    sgt(*run.words)
    return run


def again(run) -> str:
    """Start it in a process that is killed if it trains; returns its output."""
    status, output = run.run_with(Event(TRAINS))
    assert status == 0, output
    return output


def test_a_finished_run_has_no_checkpoints_and_is_not_trained_again(done):
    assert not done.checkpoints() and (done.work / "metrics.jsonl").exists()
    before = snapshot(done.folder)
    output = again(done)
    assert f"micro/segmentation/seed0: already finished; to train it again, delete {done.folder}" in output
    assert snapshot(done.folder) == before


def test_without_its_work_folder_it_is_still_finished(done):
    shutil.rmtree(done.work)
    before = snapshot(done.folder)
    again(done)
    assert snapshot(done.folder) == before


def test_a_record_that_the_workflow_deleted_is_restored(done):
    record = (done.folder / "run.json").read_text()
    (done.folder / "run.json").unlink()
    again(done)
    assert (done.folder / "run.json").read_text() == record


def test_weights_that_are_not_those_of_the_record_are_trained_again(done):
    whole = done.result()
    (weights,) = done.folder.glob("final/ema.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    sgt(*done.words)
    assert done.result() == whole
    shutil.rmtree(done.folder / "final")
    sgt(*done.words)
    assert done.result() == whole


def test_another_recipe_is_trained_and_the_record_is_never_that_of_other_weights(done):
    first = (done.folder / "run.json").read_text()
    whole = done.result()
    write_study(Path(), recipe={**STUDY["recipe"], "ce_weight": 1.0})
    # While it trains, and while its weights are being written, the earlier result is kept.
    done.killed(Event("sgt.training.checkpoints.Checkpoints.save", call=2))
    assert (done.folder / "run.json").read_text() == first and done.result() == whole
    done.killed(Event("sgt.models.bagel.model.Bagel.save_checkpoint", moment="after"))
    assert (done.folder / "run.json").read_text() == first and done.result() == whole
    # Back to the first recipe: it is still finished, and the other's checkpoints are kept.
    write_study(Path())
    there = done.checkpoints()
    again(done)
    assert done.checkpoints() == there != []
    write_study(Path(), recipe={**STUDY["recipe"], "ce_weight": 1.0})
    done.killed(Event("os.replace", naming="seed0/final", moment="after"))
    assert not (done.folder / "run.json").exists()
    # The weights are the other's now: the first recipe must not count as finished.
    write_study(Path())
    sgt(*done.words)
    assert done.result() == whole
    assert json.loads((done.folder / "run.json").read_text())["identity"] == json.loads(first)["identity"]


def test_two_trainings_of_one_run_are_refused_in_one_line(run, study):
    process = run.start(events=[Event("sgt.training.trainer.Trainer._train_batch", "SIGSTOP", call=3)])
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)
    before = snapshot(run.folder)
    status, output = run.run_with()
    assert status == 1
    (line,) = [line for line in output.splitlines() if "error" in line]
    owner = f"process {process.pid} on host {socket.gethostname()}"
    assert line == (
        f"sgt train: error: micro/segmentation/seed0: is being trained by {owner}; wait until it has ended, or stop it"
    )
    assert snapshot(run.folder) == before
    process.send_signal(signal.SIGKILL)
    process.communicate()
    # A killed process holds no lock.
    sgt(*run.words)
    assert [line[0] for line in run.losses()] == list(range(STUDY["recipe"]["steps"]))


def test_a_second_training_in_two_processes_is_refused_without_a_traceback(run, study):
    process = run.start(events=[Event("sgt.training.trainer.Trainer._train_batch", "SIGSTOP", call=1)])
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)
    status, output = run.run_with(processes=2)
    assert status != 0
    assert re.search(rf"is being trained by process {process.pid} on host", output)
    assert "Traceback" not in output
    process.send_signal(signal.SIGKILL)
    process.communicate()
