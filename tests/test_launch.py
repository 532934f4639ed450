"""One process or several: the command line, and two processes for real."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sgt.cli import main
from sgt.launch import launch_command
from tests.conftest import STUDY, write_study

WORDS = ["train", "config/micro.yaml", "--model", "micro", "--arm", "edge", "--seed", "0"]
RUN = Path("results/runs/micro/edge/seed0/run.json")


def test_the_command_of_one_node_and_of_several():
    assert launch_command(1, 1, WORDS, 0) == [sys.executable, "-m", "sgt", *WORDS]
    one = launch_command(1, 4, WORDS, 0)
    assert one[:5] == [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "4"]
    assert one[5:] == ["--standalone", "-m", "sgt", *WORDS]
    many = launch_command(2, 8, WORDS, 123456)
    assert many[:7] == ["srun", "--nodes", "2", "--ntasks", "2", "--ntasks-per-node", "1"]
    assert many[many.index("--nproc-per-node") + 1] == "8" and many[many.index("--nnodes") + 1] == "2"
    assert many[many.index("--rdzv-endpoint") + 1].endswith(":23456")


def test_two_processes_train_a_run(study):
    done = subprocess.run([sys.executable, "-m", "sgt", "launch", "--processes", "2", *WORDS], timeout=180, check=False)
    assert done.returncode == 0
    record = json.loads(RUN.read_text())
    assert record["processes"] == 2 and record["command"].startswith("sgt train config/micro.yaml")


@pytest.mark.parametrize(
    ("train", "words", "said"),
    [
        ({"gpu": 4, "nodes": 2}, WORDS, "2 nodes outside a SLURM job"),
        ({"gpu": 1, "nodes": 2}, WORDS, "train: nodes: 2 nodes of 1 GPUs"),
        ({}, ["--processes", "0", *WORDS], "1 nodes of 0 processes"),
        ({}, ["train"], "no command to start"),
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
