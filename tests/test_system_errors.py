"""What the system refuses (a full disk, a missing right): one line, in whichever process, and nothing half-written."""

import os
import pickle
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from sgt.commands.main import main
from sgt.errors import SgtError, system_error
from tests import forked
from tests.conftest import STUDY, sgt, write_study
from tests.data.fetch.hub import Hub

RUN = ["--model", "micro", "--arm", "sft", "--seed", "0"]
STUDY_FILE = "config/micro.yaml"


def limited(*words: object, kilobytes: int) -> tuple[int, str]:
    """A command whose files cannot grow beyond a size, as on a full disk; its status and its output."""
    return forked.sgt([str(word) for word in words], Path.cwd(), RLIMIT_FSIZE=1024 * kilobytes)


def hidden() -> list[str]:
    """Half-written files and folders, everywhere."""
    return [str(path) for path in Path().rglob(".*") if path.name.endswith((".tmp", ".work"))]


def one_line(status: int, said: str, *parts: str) -> None:
    assert status == 1 and "Traceback" not in said, said
    (line,) = [line for line in said.splitlines() if ": error: " in line]
    assert all(part in line for part in parts), line
    assert "make room" in line or "free some space" in line
    assert hidden() == []


FULL = "File too large"


@pytest.mark.parametrize("workers", [1, 3])
def test_toyworld(workers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ("toyworld", "out", "--split", "test", "--scenes", 120, "--per-shard", 40, "--workers", workers)
    one_line(*limited(*words, kilobytes=100), "sgt toyworld", "out/shard-0000", FULL)
    assert not list(Path("out").glob("*"))


def test_render_and_preview(study):
    scenes = "results/shards/scenes/shard-00000.tar"
    one_line(*limited("render", "reconstruction", scenes, "t/targets.tar", kilobytes=16), "t/targets.tar", FULL)
    assert not list(Path("t").iterdir())
    one_line(*limited("preview", scenes, "sheet.png", kilobytes=8), "sheet.png", FULL)


def test_pretrain(study):
    words = ("pretrain", STUDY_FILE, "--model", "micro", "--out", "again", "--threads", 1)
    vae, checkpoint = (Path("results/base/micro/work") / name for name in ("vae.safetensors", "step-0000006"))
    size = vae.stat().st_size // 1024
    one_line(*limited(*words, kilobytes=size // 2), "again/work/vae.safetensors", FULL)
    assert os.listdir("again/work") == []
    assert (checkpoint / "weights-00000-of-00001.safetensors").stat().st_size // 1024 > size + 1
    one_line(*limited(*words, kilobytes=size + 1), "again/work/step-0000003", FULL)
    assert sorted(os.listdir("again/work")) == ["metrics.jsonl", "start", "vae.safetensors"]


def test_predict_score_tables_and_figures(study):
    arms = ("base", "sft", "edge")
    write_study(Path(), arms=list(arms))
    for arm in arms:
        sgt("train", STUDY_FILE, "--model", "micro", "--arm", arm, "--seed", 0)
    answers, images = "predictions.jsonl", "images.tar"
    for benchmark, kilobytes, part in (
        ("toyworld-qa", 4, "part-0000000.jsonl"),
        ("toyworld-gen", 8, "part-0000000.tar"),
    ):
        words = ("predict", STUDY_FILE, *RUN, "--benchmark", benchmark)
        one_line(*limited(*words, kilobytes=kilobytes), part, FULL)
        folder = Path("results/predictions/micro/sft/seed0") / benchmark
        assert not list(folder.glob(answers)) + list(folder.glob(images)) + list(folder.glob("*.json"))
        for arm in arms:
            sgt("predict", STUDY_FILE, "--model", "micro", "--arm", arm, "--seed", 0, "--benchmark", benchmark)
    words = ("score", STUDY_FILE, *RUN, "--benchmark", "toyworld-qa")
    one_line(*limited(*words, kilobytes=1), "results/scores/micro/sft/seed0/toyworld-qa.json", FULL)
    for arm in arms:
        for benchmark in STUDY["benchmarks"]:
            sgt("score", STUDY_FILE, "--model", "micro", "--arm", arm, "--seed", 0, "--benchmark", benchmark)
    sgt("treatment", STUDY_FILE, "--model", "micro", "--arm", "edge", "--seed", 0)
    one_line(*limited("tables", STUDY_FILE, kilobytes=0), "results/tables/", FULL)
    assert not list(Path("results/tables").glob("*"))
    sgt("tables", STUDY_FILE)
    one_line(*limited("figures", STUDY_FILE, kilobytes=1), "results/figures/", FULL)
    assert not list(Path("results/figures").glob("*"))


def test_fetch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with closing(Hub({"data.bin": b"0" * 300_000})) as hub:
        entry = {"host": "hub", "kind": "dataset", "repository": "owner/name", "files": ["*"], "licence": "none"}
        Path("table.yaml").write_text(yaml.safe_dump({"small": entry}))
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        status, said = limited("fetch", "small", "--table", "table.yaml", kilobytes=100)
    one_line(status, said, "downloads/small/.fetch/data.bin.part", FULL)


def test_names_and_places_that_cannot_be(study, capsys):
    scenes = "results/shards/scenes/shard-00000.tar"

    def told(*words: object) -> str:
        assert main([str(word) for word in words]) == 1
        (line,) = [line for line in capsys.readouterr().err.splitlines() if ": error: " in line]
        return line

    long = "n" * 260 + ".tar"
    assert f"{long}: File name too long; choose a shorter name" in told("render", "edge", scenes, long)
    Path("file").write_text("")
    assert "file: File exists; move it away" in told("render", "edge", scenes, "file/targets.tar")
    Path("folder.tar").mkdir()
    assert "folder.tar: Is a directory; move the folder" in told("render", "edge", scenes, "folder.tar")
    assert "/proc/targets.tar: " in told("render", "edge", scenes, "/proc/targets.tar")
    assert hidden() == []


@pytest.mark.skipif(os.geteuid() == 0, reason="everything is allowed to root")
def test_a_folder_that_may_not_be_written(study, capsys):
    Path("locked").mkdir(mode=0o500)
    assert main(["render", "edge", "results/shards/scenes/shard-00000.tar", "locked/targets.tar"]) == 1
    assert "locked/targets.tar: Permission denied; let this user" in capsys.readouterr().err


def test_an_error_of_the_system_keeps_its_file_on_the_way_from_another_process():
    error = pickle.loads(pickle.dumps(OSError(28, "No space left on device", "a/file")))
    assert str(system_error(error)).startswith("a/file: No space left on device; make room")
    assert isinstance(system_error(OSError("nothing more is known")), SgtError)


def test_a_programming_error_is_no_line(study, monkeypatch):
    monkeypatch.setattr("sgt.commands.render.render_shard", lambda *args: [].pop())
    with pytest.raises(IndexError):
        main(["render", "edge", "results/shards/scenes/shard-00000.tar", "targets.tar"])


def test_a_full_standard_output_is_one_line(study):
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "sgt", "schema"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "sgt schema: error: a file or standard output: No space left on device" in done.stderr


def test_everything_that_the_commands_of_a_small_study_write_has_the_modes_of_the_umask(study):
    before = os.umask(0o027)
    try:
        write_study(Path(), arms=["base", "sft", "edge"])
        made = ("out", "results")
        sgt("toyworld", "out/scenes", "--split", "test", "--scenes", 4, "--workers", 1)
        sgt("render", "edge", "out/scenes/shard-00000.tar", "out/targets/shard-00000.tar")
        sgt("preview", "out/scenes/shard-00000.tar", "out/sheet.png")
        sgt("pretrain", STUDY_FILE, "--model", "micro", "--out", "out/base", "--threads", 1)
        old = {path for folder in made for path in Path(folder).rglob("*") if folder == "results"}
        for arm in ("base", "sft", "edge"):
            words = ["--model", "micro", "--arm", arm, "--seed", 0]
            sgt("train", STUDY_FILE, *words)
            for benchmark in STUDY["benchmarks"]:
                sgt("predict", STUDY_FILE, *words, "--benchmark", benchmark)
                sgt("score", STUDY_FILE, *words, "--benchmark", benchmark)
        sgt("treatment", STUDY_FILE, "--model", "micro", "--arm", "edge", "--seed", 0)
        sgt("tables", STUDY_FILE)
    finally:
        os.umask(before)
    new = [path for folder in made for path in Path(folder).rglob("*") if path not in old]
    assert any(path.suffix == ".safetensors" and "work" in path.parts for path in new)
    assert any(path.suffix == ".safetensors" and "final" in path.parts for path in new)
    wrong = {
        str(path): oct(stat.S_IMODE(path.stat().st_mode))
        for path in new
        if stat.S_IMODE(path.stat().st_mode) != (0o750 if path.is_dir() else 0o640)
    }
    assert wrong == {}


def test_a_reader_that_has_gone_is_no_error():
    """As in ``sgt schema | head``."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as output:
        process = subprocess.run([sys.executable, "-m", "sgt", "schema"], stdout=output, stderr=-1, text=True)
    assert (process.returncode, "error" in process.stderr) == (141, False), process.stderr
