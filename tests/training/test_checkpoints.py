"""Checkpoints that are damaged, foreign or cannot be written: one line of error, and good ones are kept."""

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from sgt.atomic import sha256
from sgt.errors import SgtError
from sgt.training.checkpoints import Checkpoints
from sgt.training.distributed import DistributedContext
from tests.conftest import STUDY, sgt, write_study
from tests.training.conftest import BEFORE_ITS_END, Micro

NEWEST = "step-0000006"


@pytest.fixture(scope="module")
def undisturbed(prepared, tmp_path_factory):
    """A folder with the checkpoints of a run with a weight average, and its result when it was not interrupted."""
    root = tmp_path_factory.mktemp("undisturbed") / "study"
    shutil.copytree(prepared, root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        write_study(Path(), recipe={**STUDY["recipe"], "ema": 0.9})
        run = Micro("segmentation")
        sgt(*run.words)
        result = run.result()
        shutil.rmtree(run.folder)
        run.killed(BEFORE_ITS_END)
    return root, result


@pytest.fixture
def whole(undisturbed, tmp_path, monkeypatch):
    """The result of that run, in a copy of its folder with its checkpoints and without its result."""
    shutil.copytree(undisturbed[0], tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return undisturbed[1]


@pytest.fixture
def run():
    """The run, wherever the working directory is."""
    return Micro("segmentation")


def again(run: Micro) -> tuple:
    """Run it in this process; returns its result."""
    sgt(*run.words)
    return run.result()


def rewrite(path: Path, change) -> None:
    """Change a checkpoint's file, and its hash in the manifest."""
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    manifest = path.parent / "state.json"
    state = json.loads(manifest.read_text())
    state["sha256"][path.name] = sha256(path)
    manifest.write_text(json.dumps(state))


def drop_one(group: str):
    def spoil(folder: Path) -> None:
        state = json.loads((folder / "state.json").read_text())
        (name,) = [name for name in state["sha256"] if name.startswith(group)]
        (folder / name).unlink()
        del state["sha256"][name]
        (folder / "state.json").write_text(json.dumps(state))

    return spoil


def drop_field(field: str):
    def spoil(folder: Path) -> None:
        state = json.loads((folder / "state.json").read_text())
        del state[field]
        (folder / "state.json").write_text(json.dumps(state))

    return spoil


def truncate(name: str):
    def spoil(folder: Path) -> None:
        path = folder / name
        path.write_bytes(path.read_bytes()[:-7])

    return spoil


def flip_a_bit(folder: Path) -> None:
    path = folder / "optimizer-00000-of-00001.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


def drop_tensor(folder: Path) -> None:
    rewrite(folder / "weights-00000-of-00001.safetensors", lambda tensors: tensors.pop("llm2vae.bias"))


def drop_moment(folder: Path) -> None:
    rewrite(folder / "optimizer-00000-of-00001.safetensors", lambda tensors: tensors.pop("exp_avg.llm2vae.bias"))


FAULTS = {
    "truncated weights": (truncate("weights-00000-of-00001.safetensors"), "damaged"),
    "flipped bit": (flip_a_bit, "damaged"),
    "torn manifest": (truncate("state.json"), "incomplete"),
    "no manifest": (lambda folder: (folder / "state.json").unlink(), "incomplete"),
    "no optimizer": (drop_one("optimizer"), "incomplete"),
    "no average": (drop_one("average"), "incomplete"),
    "no position": (drop_field("step"), "incomplete"),
    "a tensor less": (drop_tensor, "incomplete: no llm2vae.bias"),
    "a moment less": (drop_moment, "incomplete: no exp_avg.llm2vae.bias"),
    "another's name": (lambda folder: folder.rename(folder.with_name("step-0000007")), "its manifest is of step 6"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_checkpoint_is_skipped_and_the_reason_is_logged(fault, run, whole, caplog):
    spoil, reason = FAULTS[fault]
    spoil(run.work / NEWEST)
    with caplog.at_level("INFO"):
        assert again(run) == whole
    assert reason in caplog.text
    assert "resuming from" in caplog.text and "step-0000004" in caplog.text


@pytest.mark.parametrize("part", ["exp_avg.", "exp_avg_sq.", "step."])
def test_each_part_of_the_optimizers_state_decides_the_weights(part, run, whole):
    """Resuming without it gives another result, so a checkpoint that lost it would be noticed."""
    shutil.rmtree(run.work / NEWEST)

    def forget(tensors):
        for name in [name for name in tensors if name.startswith(part)]:
            tensors[name].zero_()

    rewrite(run.work / "step-0000004" / "optimizer-00000-of-00001.safetensors", forget)
    assert again(run) != whole


@pytest.mark.parametrize("group", ["weights", "average"])
def test_weights_and_averages_are_needed_too(group, run, whole):
    shutil.rmtree(run.work / NEWEST)
    rewrite(run.work / f"step-0000004/{group}-00000-of-00001.safetensors", lambda t: t["llm2vae.bias"].add_(1))
    assert again(run) != whole


def test_without_a_good_checkpoint_training_starts_again(run, whole, caplog):
    for folder in run.checkpoints():
        truncate("state.json")(run.work / folder)
    with caplog.at_level("INFO"):
        assert again(run) == whole
    assert "resuming from" not in caplog.text


def test_the_last_ones_are_kept(run, study):
    write_study(Path(), recipe={**STUDY["recipe"], "save_every": 1, "keep_last": 3})
    run.killed(BEFORE_ITS_END)
    assert run.checkpoints() == ["step-0000004", "step-0000005", NEWEST]


def in_small_disk(run: Micro, size: str, options: str = "rw") -> tuple[int, str]:
    """Run with ``results/runs`` on a file system of its own; what is there before is on it."""
    runs = Path("results/runs").resolve()
    runs.mkdir(parents=True, exist_ok=True)
    script = (
        f"mount -t tmpfs -o size={size} tmpfs {runs} && cp -a saved/. {runs}/ && mount -o remount,{options} {runs}"
        ' && "$@"; status=$?; mkdir -p left && cp -a ' + f"{runs}/. left/; exit $status"
    )
    Path("saved").mkdir(exist_ok=True)
    prefix = ("unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh")
    return run.finish(prefix=prefix)


def error_line(output: str) -> str:
    """The one line with the error."""
    assert "Traceback" not in output, output
    (line,) = [line for line in output.splitlines() if ": error: " in line]
    return line


def test_a_full_disk_is_one_line_and_the_last_good_checkpoint_is_intact(run, whole):
    shutil.rmtree(run.work / NEWEST)
    shutil.copytree("results/runs", "saved")
    size = sum(path.stat().st_size for path in Path("saved").rglob("*") if path.is_file())
    # Room for half a checkpoint more.
    status, output = in_small_disk(run, f"{int(size * 1.5) // 1024}k")
    assert status == 1
    line = error_line(output)
    assert "step-0000006: the checkpoint cannot be written (" in line and "No space left" in line
    assert "it resumes from the last good one (step-0000004)" in line
    shutil.rmtree("results/runs")
    Path("left").rename("results/runs")
    assert run.checkpoints() == ["step-0000004"] and not list(run.work.glob(".step-*"))
    assert again(run) == whole


def test_a_read_only_folder_is_one_line(run, study):
    status, output = in_small_disk(run, "10M", "ro")
    assert status == 1
    line = error_line(output)
    assert str(run.work) in line and "Read-only file system" in line


@pytest.mark.slow
def test_too_little_memory_is_one_line_before_the_first_step(run, study):
    """The limit leaves room to start, not for a pack of many images."""
    write_study(Path(), recipe={**STUDY["recipe"], "batch": 1200})
    prefix = ("sh", "-c", 'ulimit -v 2500000; exec "$@"', "sh")
    status, output = run.finish(prefix=prefix)
    assert status == 1, output
    assert "out of memory" in error_line(output) and "sgt check" in error_line(output)
    assert not run.checkpoints() and sorted(os.listdir(run.work)) == ["lock", "metrics.jsonl"]


@dataclass(frozen=True)
class ThreadContext(DistributedContext):
    """One of two processes that are threads of this one."""

    size: int = 2
    given: list[Any] = field(default_factory=list)
    meet: Barrier = field(default_factory=lambda: Barrier(2))

    def all_gather(self, value: Any) -> list[Any]:
        self.given[self.rank] = value
        self.meet.wait(timeout=5)
        gathered = list(self.given)
        self.meet.wait(timeout=5)
        return gathered


def test_a_folder_that_the_main_process_cannot_make_is_the_same_error_in_all(tmp_path):
    (tmp_path / "work").write_text("")
    given: list[Any] = [None, None]
    meet = Barrier(2)
    weight = torch.nn.Parameter(torch.zeros(2))

    def save(rank: int) -> SgtError:
        context = ThreadContext(rank, given=given, meet=meet)
        checkpoints = Checkpoints(tmp_path / "work", "", 2, context)
        with pytest.raises(SgtError) as raised:
            checkpoints.save(2, {"weight": weight}, torch.optim.AdamW([weight]), None)
        return raised.value

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(save, range(2))
    assert str(first) == str(second)
    assert "step-0000002: the checkpoint cannot be written (" in str(first) and "Not a directory" in str(first)
