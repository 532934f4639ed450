"""A signal that asks to stop: saved, status 85, and the same bits at the end."""

import signal
from pathlib import Path

import pytest

from sgt.errors import REQUEUE_STATUS
from tests.conftest import STUDY, write_study
from tests.training.events import Event

STEP = "sgt.training.trainer.Trainer._train_batch"
# Within a step; its first call is the dry run's.
BACKWARD = "sgt.training.trainer.Trainer._backward"
SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2]


@pytest.fixture
def long_run(run):
    """A run of 9 steps, which saves only after the last one unless it is asked to stop."""
    write_study(Path(), recipe={**STUDY["recipe"], "steps": 9, "save_every": 9})
    return run


def test_stopped_by_each_signal_in_turn_it_ends_as_if_it_had_not_been(long_run):
    assert long_run.run_with()[0] == 0
    whole = long_run.result()
    long_run.folder.rename("whole")
    for done, number in enumerate(SIGNALS, 1):
        # Every attempt does one more step.
        status, output = long_run.run_with(Event(STEP, number.name))
        assert status == REQUEUE_STATUS, output
        assert f"micro/segmentation/seed0: stopped by {number.name}, saved at step {done}; run it again" in output
        assert "Traceback" not in output and not (long_run.folder / "run.json").exists()
        assert long_run.checkpoints()[-1] == f"step-{done:07d}"
    status, output = long_run.run_with()
    assert status == 0 and "resuming from" in output and f"step-{len(SIGNALS):07d}" in output
    assert long_run.result() == whole


@pytest.mark.parametrize(
    ("point", "saved"),
    [
        (Event("sgt.training.trainer.Trainer._dry_run", "SIGTERM"), 1),
        (Event("sgt.training.callbacks.recorders.MetricsFile.log_metrics", "SIGTERM", call=2), 2),
        (Event("sgt.training.checkpoints.save_tensors", "SIGTERM"), 3),
    ],
)
def test_a_signal_is_heard_whatever_is_being_done(point, saved, long_run):
    write_study(Path(), recipe={**STUDY["recipe"], "steps": 9, "save_every": 2})
    status, output = long_run.run_with(point)
    assert status == REQUEUE_STATUS and f"saved at step {saved};" in output
    assert long_run.checkpoints()[-1] == f"step-{saved:07d}"


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR2"])
def test_a_signal_that_a_launcher_and_a_scheduler_both_send_is_one(name, long_run):
    status, output = long_run.run_with(Event(STEP, name, call=3), Event(BACKWARD, name, call=4))
    assert status == REQUEUE_STATUS and "saved at step 3;" in output, output


def test_a_second_signal_from_the_terminal_ends_it_at_once(long_run):
    status, output = long_run.run_with(Event(STEP, "SIGINT", call=3), Event(BACKWARD, "SIGINT", call=4))
    assert status not in (0, REQUEUE_STATUS) and not long_run.checkpoints(), output


def test_a_signal_in_the_last_step_is_too_late(long_run):
    assert long_run.run_with(Event(STEP, "SIGTERM", call=9))[0] == 0
    assert (long_run.folder / "run.json").exists()


@pytest.mark.slow
def test_a_hangup_that_nohup_ignores_stays_ignored(long_run):
    status, output = long_run.finish(prefix=("nohup",), events=[Event(STEP, "SIGHUP", call=3)])
    assert status == 0 and "stopped by" not in output
    assert (long_run.folder / "run.json").exists()


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_schedulers_warning_that_the_workflow_ignores_is_heard(processes, long_run):
    """Snakemake ignores it, and what it starts inherits that."""
    ignoring = ("env", "--ignore-signal=USR2")
    status, output = long_run.finish(processes, prefix=ignoring, events=[Event(STEP, "SIGUSR2", call=3)])
    assert status != 0 and "stopped by" in output and "saved at step 3" in output


def test_a_signal_to_one_of_two_processes_saves_one_checkpoint_of_both(long_run):
    stop = Event(STEP, "SIGUSR1", call=3, rank=1)
    status, output = long_run.run_with(stop, processes=2)
    assert status != 0 and "saved at step 3" in output
    (checkpoint,) = long_run.checkpoints()
    assert checkpoint == "step-0000003"
    assert len(list((long_run.work / checkpoint).glob("weights-*-of-00002.safetensors"))) == 2
    status, output = long_run.run_with()
    assert status == 0 and "resuming from" in output
    assert [line[0] for line in long_run.losses()] == list(range(9))
