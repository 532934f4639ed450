"""Killed and started again: the same numbers bit by bit, whatever was torn."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sgt.atomic import sha256
from tests.conftest import STUDY, sgt, write_study

WORDS = ["config/micro.yaml", "--model", "micro", "--arm", "segmentation", "--seed", "0"]
FOLDER = Path("results/runs/micro/segmentation/seed0")


def losses() -> list[tuple]:
    lines = [json.loads(line) for line in (FOLDER / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line["ce"], line["mse"], line["grad_norm"]) for line in lines]


def finished() -> tuple:
    return sha256(FOLDER / "final/ema.safetensors"), losses()


@pytest.fixture
def reference(study):
    """What an uninterrupted run gives; its results are then taken away, its checkpoints stay."""
    sgt("train", *WORDS)
    result = finished()
    (FOLDER / "run.json").unlink()
    shutil.rmtree(FOLDER / "final")
    return result


def checkpoints() -> list[str]:
    return sorted(path.name for path in (FOLDER / "work").glob("step-*"))


def test_resuming_an_earlier_checkpoint_is_bit_identical(reference):
    assert checkpoints() == ["step-0000004", "step-0000006"]
    shutil.rmtree(FOLDER / "work/step-0000006")
    sgt("train", *WORDS)
    assert finished() == reference


@pytest.mark.parametrize("file", ["weights", "optimizer", "state.json"])
def test_a_torn_checkpoint_is_passed_over_with_its_reason(file, reference, caplog):
    (path,) = (FOLDER / "work/step-0000006").glob(f"{file}*")
    path.write_bytes(path.read_bytes()[:-7])
    with caplog.at_level("WARNING"):
        sgt("train", *WORDS)
    assert finished() == reference
    assert "step-0000006" in caplog.text and ("damaged" in caplog.text or "incomplete" in caplog.text)


def test_checkpoints_of_another_recipe_are_not_resumed_and_do_not_push_out_new_ones(reference, caplog):
    changed = {**STUDY["recipe"], "ce_weight": 1.0}
    write_study(Path(), recipe={**changed, "steps": 4})
    with caplog.at_level("WARNING"):
        sgt("train", *WORDS)
    assert "belongs to other data or another configuration" in caplog.text
    assert checkpoints() == ["step-0000002", "step-0000004"]
    assert losses()[0][:3] == reference[1][0][:3]
    assert losses()[2] != reference[1][2]


def test_a_killed_process_resumes_where_it_was(prepared, tmp_path, monkeypatch):
    root = tmp_path / "study"
    shutil.copytree(prepared, root)
    monkeypatch.chdir(root)
    recipe = {**STUDY["recipe"], "steps": 40}
    write_study(Path(), recipe=recipe)
    sgt("train", *WORDS)
    whole = finished()
    shutil.rmtree(FOLDER)
    command = [sys.executable, "-m", "sgt", "train", *WORDS]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 120
    while not (FOLDER / "work/step-0000004/state.json").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (FOLDER / "run.json").exists()
    again = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=True)
    assert "resuming from" in again.stderr
    assert finished() == whole
