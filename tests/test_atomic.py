"""Files appear whole or not at all; what dead processes left of them goes, what living ones write stays."""

import errno
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from sgt.atomic import ABANDONED_AFTER, atomic_dir, atomic_path, copy_file, copy_folder, save_tensors, write_text
from sgt.data.shards import ShardWriter

WRITER = """
import sys
from pathlib import Path
from sgt.atomic import atomic_dir, atomic_path
with (atomic_path if sys.argv[1] == "file" else atomic_dir)("made") as temporary:
    if sys.argv[1] == "file":
        temporary.write_text("half")
    else:
        (temporary / "part").write_text("half")
    print("writing", flush=True)
    sys.stdin.read()
"""


def names() -> list[str]:
    return sorted(os.listdir())


def mode(path: Path | str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(params=[0o022, 0o002, 0o077])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_every_way_to_write_gives_the_modes_of_the_umask(umask):
    write_text("text", "a")
    save_tensors("weights", {"a": torch.zeros(3)})
    with ShardWriter("shard") as shard:
        shard.add("a", {"json": b"{}"})
    Path("guarded").mkdir()
    Path("guarded/secret").write_text("a")
    Path("guarded/secret").chmod(0o400)
    copy_file(Path("guarded/secret"), Path("copy"))
    copy_folder(Path("guarded"), Path("copies"))
    with atomic_dir("folder") as folder:
        (folder / "file").write_text("a")
    for file in ("text", "weights", "shard", "copy", "copies/secret", "folder/file"):
        assert mode(file) == 0o666 & ~umask, file
    for each in ("copies", "folder"):
        assert mode(each) == 0o777 & ~umask


def test_an_error_names_the_file_and_leaves_nothing():
    def fail() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match="No space left") as error, atomic_path("file") as temporary:
        temporary.write_text("half")
        fail()
    assert error.value.filename == "file" and names() == []
    with pytest.raises(OSError, match="No space left") as error, ShardWriter("shard") as shard:
        shard.add("a", {"json": b"{}"})
        fail()
    assert error.value.filename == "shard" and names() == []
    with pytest.raises(FileNotFoundError) as error, atomic_dir("a/folder") as temporary:
        (temporary / "no" / "such").write_text("half")
    assert error.value.filename == "a/folder/no/such" and names() == ["a"] and not os.listdir("a")
    with pytest.raises(OSError, match="too long") as error:
        write_text("n" * 300, "a")
    assert error.value.filename == "n" * 300
    # What goes wrong with another file is told of that.
    with pytest.raises(FileNotFoundError) as error, atomic_path("file"):
        open("elsewhere")  # noqa: SIM115
    assert error.value.filename == "elsewhere"


def started(kind: str) -> subprocess.Popen:
    """A process that is in the middle of writing ``made``."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "writing\n"
    return process


def write(kind: str) -> None:
    with (atomic_path if kind == "file" else atomic_dir)("made") as temporary:
        if kind == "file":
            temporary.write_text("whole")


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_killed_process_left_goes_with_the_next_write(kind):
    process = started(kind)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (left,) = names()
    assert left.startswith(".made.") and left.endswith(".tmp")
    write_text("another", "a")
    assert left in names()
    write(kind)
    assert names() == ["another", "made"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_living_process_writes_stays(kind):
    process = started(kind)
    (theirs,) = names()
    write(kind)
    assert names() == [theirs, "made"]
    process.communicate("")
    assert process.returncode == 0 and names() == ["made"]


def test_what_another_machine_left_goes_when_it_has_not_been_written_to_for_long():
    """Its processes cannot be asked; that none of this number lives here says nothing."""
    old, new = Path(".made.0123abcd-999999999.tmp"), Path(".made.0123abcd-999999998.tmp")
    for path in (old, new):
        path.write_text("half")
    long_ago = time.time() - ABANDONED_AFTER - 60
    os.utime(old, (long_ago, long_ago))
    write("file")
    assert names() == [new.name, "made"]


def test_files_of_others_stay_whatever_they_are_called():
    others = [".made.tmp", ".made.123.tmp", ".other.0123abcd-1.tmp", "made.0123abcd-1.tmp", ".made.x.0123abcd-1.tmp"]
    for name in others:
        Path(name).write_text("theirs")
        os.utime(name, (0, 0))
    write("file")
    assert names() == sorted([*others, "made"])


def test_the_time_to_fill_a_folder_does_not_grow_as_the_square_of_its_files(monkeypatch):
    listed, real = [], os.listdir
    for number in range(300):
        Path(f"{number}").touch()
    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", lambda path: listed.append(real(path)) or listed[-1])
        for number in range(300, 500):
            write_text(f"{number}", "a")
    assert len(os.listdir()) == 500 and sum(map(len, listed)) < 200 * 125
