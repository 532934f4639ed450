"""What Snakemake does with a scheduler's signals: its jobs get them, and warnings end only those that listen."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

# A shell with a command that listens, and a command that does not; both end with the input.
SNAKEMAKE = """
import signal, subprocess, sys
from sgt.signals import forward_to_jobs
forward_to_jobs()
signal.signal(signal.SIGTERM, lambda number, frame: None)
shell = ["bash", "-c", '"$0" -c "$1"; echo after $?', sys.executable, sys.argv[1]]
jobs = [subprocess.Popen(shell), subprocess.Popen(["cat"])]
print([job.wait() for job in jobs])
"""
COMMAND = """
import signal, sys
from sgt.signals import STOP_SIGNALS, listen
def stop(number, frame):
    print("saved", flush=True)
    sys.exit(85)
listen(STOP_SIGNALS, stop)
print("ready", flush=True)
sys.stdin.read()
"""


@contextmanager
def running(command: str = COMMAND, **environment: str):
    """A process that is to its jobs what Snakemake is, once the command is ready."""
    environment = {**{name: value for name, value in os.environ.items() if name != "SLURM_JOB_ID"}, **environment}
    words = [sys.executable, "-c", SNAKEMAKE, command]
    with subprocess.Popen(words, stdin=-1, stdout=-1, text=True, env=environment) as process:
        assert process.stdout.readline() == "ready\n"
        yield process


def ended(process: subprocess.Popen) -> list[str]:
    """What was printed until all is over."""
    return process.communicate(timeout=60)[0].splitlines()


@pytest.mark.parametrize("warning", [signal.SIGUSR1, signal.SIGUSR2])
def test_a_warning_to_snakemake_alone_reaches_the_command_and_ends_nothing_else(warning):
    with running() as process:
        process.send_signal(warning)
        assert process.stdout.readline() == "saved\n"
        assert ended(process) == ["after 85", "[0, 0]"]


def test_a_job_in_slurm_is_cancelled_as_a_whole_and_a_run_elsewhere_waits_for_its_jobs():
    with running(SLURM_JOB_ID="1") as process:
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "saved\n"
        assert ended(process) == ["after 85", f"[0, {-signal.SIGTERM}]"]
    with running() as process:
        process.send_signal(signal.SIGTERM)
        assert ended(process) == ["after 0", "[0, 0]"]


def test_a_warning_that_comes_while_a_command_starts_is_kept_for_it():
    late = """
import time
print("ready", flush=True)
while signal.SIGUSR2 not in signal.sigpending():
    time.sleep(0.01)
listen(STOP_SIGNALS"""
    with running(COMMAND.replace("listen(STOP_SIGNALS", late)) as process:
        process.send_signal(signal.SIGUSR2)
        assert process.stdout.readline() == "saved\n"
        assert ended(process) == ["after 85", "[0, 0]"]
