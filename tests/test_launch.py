"""One process or several: the command line, and two processes for real, their signals and their exit status."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import yaml

from sgt.commands.launch import FIRST_PORT, PORTS, srun_command
from sgt.commands.main import main
from sgt.errors import REQUEUE_STATUS
from tests.conftest import STUDY, write_study

WORDS = ["train", "config/micro.yaml", "--model", "micro", "--arm", "edge", "--seed", "0"]
RUN = Path("results/runs/micro/edge/seed0/run.json")


SRUN = """#!/usr/bin/env python3
# As SLURM's: runs a command on every node (here: several times), passes signals on, kills the others after a bad end,
# and ends with the highest status.
import os, signal, subprocess, sys, time

words = sys.argv[1:]
nodes = int(words[words.index("--nodes") + 1])
assert words[2:7] == ["--ntasks", str(nodes), "--ntasks-per-node", "1", "--kill-on-bad-exit=1"], words
tasks = []
for number in (signal.SIGTERM, signal.SIGUSR2):
    signal.signal(number, lambda number, frame: [task.send_signal(number) for task in tasks])
for node in range(nodes):
    tasks.append(subprocess.Popen(words[7:], env={**os.environ, "SLURM_NODEID": str(node)}))
while any(task.poll() is None for task in tasks):
    if any(task.returncode for task in tasks):
        [task.kill() for task in tasks]
    time.sleep(0.05)
sys.exit(max(code if code >= 0 else 128 - code for code in (task.returncode for task in tasks)))
"""


def launch(*words: object, **environment: str) -> subprocess.Popen:
    """Start ``sgt launch`` in a process group of its own."""
    command = [sys.executable, "-m", "sgt", "launch", *map(str, words)]
    return subprocess.Popen(
        command, env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def ended(process: subprocess.Popen) -> tuple[int, str]:
    """Its exit status and what it and its processes said."""
    _, said = process.communicate(timeout=180)
    return process.returncode, said


@pytest.fixture
def two_nodes(tmp_path_factory) -> dict[str, str]:
    """What a job of two nodes sees, which are this one twice."""
    folder = tmp_path_factory.mktemp("slurm")
    (folder / "srun").write_text(SRUN)
    (folder / "srun").chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "SLURM_JOB_ID": str(free_port() - FIRST_PORT)}


def free_port() -> int:
    """One of those that jobs may get."""
    for port in range(FIRST_PORT + os.getpid() % PORTS, FIRST_PORT + PORTS):
        with suppress(OSError), socket.create_server(("", port)):
            return port
    raise AssertionError("no port is free")


def test_the_command_of_several_nodes():
    many = srun_command(2, 8, WORDS, 123456)
    assert many[:8] == ["srun", "--nodes", "2", "--ntasks", "2", "--ntasks-per-node", "1", "--kill-on-bad-exit=1"]
    assert many[8:17] == [sys.executable, "-m", "sgt", "launch", "--nodes", "2", "--processes", "8", "--meeting"]
    assert many[17].endswith(":23456") and many[18:] == WORDS


@pytest.mark.slow
def test_two_processes_train_a_run(study):
    status, said = ended(launch("--processes", 2, *WORDS))
    assert status == 0, said
    record = json.loads(RUN.read_text())
    assert record["processes"] == 2 and record["command"].startswith(
        "sgt launch --nodes 1 --processes 2 train config/micro.yaml"
    )


@pytest.mark.slow
def test_two_nodes_train_a_run(study, two_nodes):
    status, said = ended(launch("--nodes", 2, "--processes", 1, *WORDS, **two_nodes))
    assert status == 0, said
    assert json.loads(RUN.read_text())["processes"] == 2


def long_run(study: Path) -> Path:
    """Let the run be long and save only when it is asked to; returns its work folder."""
    write_study(Path(), recipe={**STUDY["recipe"], "steps": 2000, "save_every": 2000})
    return RUN.parent / "work"


def wait_for_steps(process: subprocess.Popen, work: Path) -> None:
    deadline = time.monotonic() + 120
    while not ((work / "metrics.jsonl").exists() and len((work / "metrics.jsonl").read_text().splitlines()) >= 3):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("number", "to_all"),
    [
        pytest.param(signal.SIGTERM, True, marks=pytest.mark.slow),
        pytest.param(signal.SIGUSR2, False, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, False, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, True, marks=pytest.mark.slow),
    ],
)
def test_a_signal_to_the_launcher_is_saved_and_ends_with_the_status_of_work_to_requeue(number, to_all, study):
    """Sent to the launcher alone, or, as a terminal or `timeout` does, to its whole group."""
    work = long_run(study)
    process = launch("--processes", 2, *WORDS)
    wait_for_steps(process, work)
    (os.killpg if to_all else os.kill)(process.pid, number)
    status, said = ended(process)
    assert status == REQUEUE_STATUS, said
    assert f"stopped by {number.name}, saved at step" in said and "Traceback" not in said
    (checkpoint,) = work.glob("step-*")
    assert len(list(checkpoint.glob("weights-*-of-00002.safetensors"))) == 2


@pytest.mark.slow
def test_a_signal_to_two_nodes_is_saved_and_ends_with_the_status_of_work_to_requeue(study, two_nodes):
    work = long_run(study)
    process = launch("--nodes", 2, "--processes", 1, *WORDS, **two_nodes)
    wait_for_steps(process, work)
    process.send_signal(signal.SIGUSR2)
    status, said = ended(process)
    assert status == REQUEUE_STATUS, said
    assert "stopped by SIGUSR2, saved at step" in said and len(list(work.glob("step-*"))) == 1


def test_the_status_of_a_process_that_fails_is_that_of_the_whole(study):
    next(Path("results/shards/questions").glob("*.tar")).unlink()
    status, said = ended(launch("--processes", 2, *WORDS))
    assert status == 1, said
    assert "no such shard" in said and "Traceback" not in said and not RUN.exists()


@pytest.mark.slow
def test_a_killed_process_takes_the_others_with_it(study):
    work = long_run(study)
    process = launch("--processes", 2, *WORDS)
    wait_for_steps(process, work)
    workers = psutil.Process(process.pid).children()
    assert len(workers) == 2
    workers[1].kill()
    status, said = ended(process)
    assert status in (1, 128 + signal.SIGKILL), said
    assert not any(worker.is_running() for worker in workers)


@pytest.mark.parametrize(
    ("words", "made"),
    [
        (["train", "config/micro.yaml", "--model", "micro", "--arm", "base", "--seed", "0"], RUN.parents[2] / "base"),
        pytest.param(
            ["pretrain", "config/micro.yaml", "--model", "micro", "--out", "again", "--threads", "1"],
            Path("again"),
            marks=pytest.mark.slow,
        ),
        (["score", "--help"], Path()),
    ],
)
def test_other_commands_are_one_process_whatever_the_model_asks_for(words, made, study, monkeypatch):
    model = Path("config/models/micro.yaml")
    asked = {"train": {"gpu": 2, "nodes": 2}, "predict": {"gpu": 2}}
    model.write_text(yaml.safe_dump({**yaml.safe_load(model.read_text()), **asked}))
    status, said = ended(launch(*words))
    assert status == 0 and made.exists(), said
    assert said.count("$ sgt ") == (2 if "--help" not in words else 1)


@pytest.mark.parametrize(
    ("train", "words", "said"),
    [
        ({"gpu": 4, "nodes": 2}, WORDS, "2 nodes outside a SLURM job"),
        ({"gpu": 1, "nodes": 2}, WORDS, "train: nodes: 2 nodes of 1 GPUs"),
        ({}, ["--processes", "0", *WORDS], "1 nodes of 0 processes"),
        ({}, [], "no command to start"),
        ({}, ["train"], "no model to train"),
        ({}, ["--processes", "2", "predict", *WORDS[1:]], "`predict` runs in one process"),
        ({}, ["--nodes", "2", "score", *WORDS[1:]], "`score` runs in one process"),
        (
            {},
            ["--processes", "2", *WORDS[:4], "--arm", "base", "--seed", "0"],
            "`train --arm base` runs in one process",
        ),
    ],
)
def test_what_cannot_be_started_is_told_in_one_line(train, words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    write_study(tmp_path, recipe={**STUDY["recipe"], "batch": 24})
    model = tmp_path / "config/models/micro.yaml"
    model.write_text(yaml.safe_dump({**yaml.safe_load(model.read_text()), "train": train}))
    assert main(["launch", *words]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert said in line
