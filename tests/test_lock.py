"""A lock that one process has at a time, that names its owner, and that ends with it."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sgt.errors import SgtError
from sgt.lock import locked

ROOT = Path(__file__).parents[1]
HOLD = """
import sys
from pathlib import Path
from sgt.lock import locked
with locked(Path(sys.argv[1]), "micro/sft/seed0", "is being trained"):
    print("locked", flush=True)
    sys.stdin.read()
"""


def holder(path: Path) -> subprocess.Popen:
    """A process that has the lock until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout.readline() == b"locked\n"
    return process


def let_go(process: subprocess.Popen) -> None:
    process.stdin.close()
    assert process.wait(60) == 0
    process.stdout.close()


def refused(path: Path) -> str:
    """What is said to a process that does not get the lock."""
    with pytest.raises(SgtError) as error, locked(path, "micro/sft/seed0", "is being trained"):
        pytest.fail("locked")
    return str(error.value)


def test_another_process_is_refused_in_one_line_that_names_the_owner(tmp_path):
    path = tmp_path / "work" / "lock"
    process = holder(path)
    owner = f"by process {process.pid} on host {socket.gethostname()}"
    assert refused(path) == f"micro/sft/seed0: is being trained {owner}; wait until it has ended, or stop it"
    let_go(process)
    with locked(path, "micro/sft/seed0", "is being trained"):
        pass


def test_a_killed_owner_does_not_stand_in_the_way(tmp_path):
    process = holder(tmp_path / "lock")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert f"process {process.pid} " in (tmp_path / "lock").read_text()
    with locked(tmp_path / "lock", "a study", "is being run"):
        assert f"process {os.getpid()} " in (tmp_path / "lock").read_text()
    let_go(holder(tmp_path / "lock"))


def test_a_child_that_outlives_the_owner_does_not_keep_it(tmp_path):
    with locked(tmp_path / "lock", "a study", "is being run"):
        child = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False, stderr=subprocess.DEVNULL
        )
    let_go(holder(tmp_path / "lock"))
    child.communicate(b"\n")


def test_the_same_process_is_refused_too_and_keeps_what_it_has(tmp_path):
    with locked(tmp_path / "lock", "a study", "is being run"):
        assert f"by process {os.getpid()} on host" in refused(tmp_path / "lock")
        other = subprocess.run(
            [sys.executable, "-c", HOLD, str(tmp_path / "lock")], capture_output=True, text=True, cwd=ROOT, input=""
        )
        assert f"is being trained by process {os.getpid()} on host" in other.stderr
    let_go(holder(tmp_path / "lock"))


def test_a_lock_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot be opened" in refused(tmp_path / "file" / "lock")
