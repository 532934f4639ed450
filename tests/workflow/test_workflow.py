"""The Snakefile run for real on a small study: what is made, made again, and survives being killed."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import forked
from tests.conftest import STUDY, write_study

ROOT = Path(__file__).parents[2]
ARMS = ["base", "sft", "edge"]
# The jobs at the end of every study.
PAGES = {"tables": 1, "figures": 1, "evidence": 1, "report": 1, "all": 1}
TABLE = Path("results/tables/all.csv")


def arguments(*words: str, cores: int = 2, study: str = "config/micro.yaml") -> list[str]:
    """Of Snakemake, for a study."""
    where = ["-s", f"{ROOT}/workflow/Snakefile", "--workflow-profile", f"{ROOT}/workflow/profiles/default"]
    return [*where, "--cores", str(cores), "--configfile", study, *words]


def command(*words: str, cores: int = 2) -> list[str]:
    """Snakemake's command line, for a process of its own."""
    return [str(Path(sys.executable).with_name("snakemake")), *arguments(*words, cores=cores)]


def environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}


def ended(folder: Path, *words: str) -> tuple[int, str]:
    """Run Snakemake to its end, in a forked process; returns its exit status and its output."""
    return forked.snakemake(arguments(*words), folder, environment())


def snakemake(folder: Path, *words: str) -> str:
    """Run it to its end, which must be a good one; returns its output."""
    status, output = ended(folder, *words)
    assert status == 0, output
    return output


def planned(folder: Path) -> dict[str, int]:
    """The job table of a dry run; empty if nothing is to be done."""
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", snakemake(folder, "-n"), re.M)}


def prepare(folder: Path, prepared: Path) -> Path:
    write_study(folder, arms=ARMS, benchmarks=["toyworld-qa"])
    shutil.copytree(prepared / "base", folder / "base")
    return folder


@pytest.fixture(scope="module")
def finished(prepared, tmp_path_factory):
    """A study that the workflow has run from nothing to its report."""
    folder = prepare(tmp_path_factory.mktemp("workflow"), prepared)
    whole = {
        "toyworld_test": 1,
        "toyworld_scenes": 1,
        "toyworld_questions": 1,
        "base_run": 1,
        "render": 2,
        "train": 2,
        "screen": 3,
    }
    whole |= {"predict": 3, "score": 3, "treatment": 1, "preview": 1, **PAGES, "total": 24}
    assert planned(folder) == whole
    said = snakemake(folder)
    assert re.search(r"^ *train +2 +\d+\.\d", said, re.M), "no time per stage"
    return folder


def test_everything_is_made_with_a_log_and_a_time(finished):
    for name in (
        "report/index.html",
        "tables/main.md",
        "figures/gains.png",
        "scores/micro/edge/seed0/toyworld-qa.json",
    ):
        assert (finished / "results" / name).stat().st_size > 0
    log = (finished / "results/logs/train/micro/edge/seed0.log").read_text()
    assert "$ sgt train config/micro.yaml --model micro --arm edge --seed 0" in log and "steps 6/6" in log
    assert (finished / "results/benchmarks/train/micro/edge/seed0.tsv").read_text().startswith("s\t")
    assert not (finished / "results/scores/micro/edge/seed0/toyworld-gen.json").exists()


def test_a_second_run_has_nothing_to_do(finished):
    assert "Nothing to be done" in snakemake(finished)


AFTER_TRAINING = {"train": 2, "predict": 2, "score": 2, "treatment": 1, **PAGES, "total": 12}
AFTER_PREDICTION = {"predict": 3, "score": 3, **PAGES, "total": 11}


@pytest.mark.parametrize(
    ("file", "change", "jobs"),
    [
        ("config/micro.yaml", lambda text: "# a remark\n" + text, {}),
        ("config/micro.yaml", lambda text: text.replace("save_every: 2", "save_every: 3"), {}),
        ("config/micro.yaml", lambda text: text.replace("lr: 0.001", "lr: 0.002"), AFTER_TRAINING),
        ("config/models/micro.yaml", lambda text: text + "train: {mem_mb: 999, runtime: 3, threads: 2}\n", {}),
        (
            "config/micro.yaml",
            lambda text: text + "proxies: {edge: {task: edge, render: {threads: 2, runtime: 3}}}\n",
            {},
        ),
        ("config/models/micro.yaml", lambda text: text.replace("vae_steps: 4", "vae_steps: 5"), {}),
        ("config/benchmarks/toyworld-qa.yaml", lambda text: text.replace("version: 2", "version: 3"), AFTER_PREDICTION),
    ],
)
def test_a_change_makes_again_what_depends_on_it_and_nothing_else(file, change, jobs, finished):
    path = finished / file
    before = path.read_text()
    path.write_text(change(before))
    try:
        assert path.read_text() != before
        assert planned(finished) == jobs
    finally:
        path.write_text(before)


@pytest.mark.parametrize("gone", ["runs/micro/edge/seed0/run.json", "scores/micro/edge/seed0/toyworld-qa.json"])
def test_a_record_that_is_missing_is_made_again_though_the_report_is_there(gone, finished):
    path = finished / "results" / gone
    record = path.read_bytes()
    path.unlink()
    jobs = planned(finished)
    path.write_bytes(record)
    assert jobs["score"] == 1 and jobs["report"] == 1 and ("train" in jobs) == gone.startswith("runs")
    assert planned(finished) == {}


def without_data(finished: Path, folder: Path) -> Path:
    """A copy of a study whose datasets and targets were purged."""
    shutil.copytree(finished, folder, symlinks=True)
    for name in ("shards", "targets"):
        shutil.rmtree(folder / "results" / name)
    return folder


def test_for_data_that_were_purged_nothing_is_made_again(finished, tmp_path):
    assert planned(without_data(finished, tmp_path / "study")) == {}


@pytest.mark.slow
def test_once_purged_data_are_there_again_only_a_missing_run_is_made_again(finished, tmp_path):
    folder = without_data(finished, tmp_path / "study")
    shutil.rmtree(folder / "results/runs/micro/edge")
    snakemake(folder, "--", "data")
    assert planned(folder) == {"train": 1, "predict": 1, "score": 1, "treatment": 1, **PAGES, "total": 9}


@pytest.mark.slow
def test_pages_of_the_study_as_it_was_are_withdrawn_when_a_job_fails(prepared, finished, tmp_path):
    folder = tmp_path / "study"
    shutil.copytree(finished, folder, symlinks=True)
    study = folder / "config/micro.yaml"
    study.write_text(study.read_text().replace("lr: 0.001", "lr: 0.02"))
    programs = tmp_path / "programs"
    programs.mkdir()
    real = Path(sys.executable).with_name("sgt")
    (programs / "sgt").write_text(f'#!/bin/sh\ncase "$*" in *train*) exit 137;; esac\nexec {real} "$@"\n')
    (programs / "sgt").chmod(0o755)
    killing = {**environment(), "PATH": f"{programs}:{environment()['PATH']}"}
    for _ in range(2):
        done = subprocess.run(command(), cwd=folder, env=killing, capture_output=True, text=True)
        assert done.returncode == 1
        assert not (folder / TABLE).exists() and not (folder / "results/report/index.html").exists()
    assert planned(folder) == AFTER_TRAINING
    snakemake(folder)
    for arm in ("sft", "edge"):
        record = json.loads((folder / f"results/runs/micro/{arm}/seed0/run.json").read_text())
        score = json.loads((folder / f"results/scores/micro/{arm}/seed0/toyworld-qa.json").read_text())
        assert record["recipe"]["optimizer"]["lr"] == 0.02
        assert score["hashes"]["checkpoint"] == record["checkpoint_sha256"]
    assert planned(folder) == {}


@pytest.mark.slow
def test_two_runs_of_a_study_do_not_work_at_once(finished, prepared, tmp_path):
    folder = prepare(tmp_path, prepared)
    sign = folder / "results/shards/questions/manifest.json"
    first = subprocess.Popen(command(cores=1), cwd=folder, env=environment(), stderr=subprocess.DEVNULL)
    try:
        while not sign.exists():
            assert first.poll() is None
            time.sleep(0.02)
        status, output = ended(folder)
        assert status == 1
        (line,) = [line for line in output.splitlines() if "error" in line]
        assert f"study micro: is being run by process {first.pid} on host" in line
        assert "This was a dry-run" in snakemake(folder, "-n")
    finally:
        first.kill()
        first.wait()
    # The lock of a killed run stands in nobody's way.
    snakemake(folder, "--", "results/shards/test/manifest.json")


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "grouped"), [(99, True), (101, False)])
def test_what_compares_many_results_is_no_group_that_would_slow_planning(seeds, grouped, prepared, tmp_path):
    folder = prepare(tmp_path, prepared)
    write_study(folder, arms=ARMS, benchmarks=["toyworld-qa"], seeds=list(range(seeds)))
    output = snakemake(folder, "-n")
    assert re.search(r"^score +(\d+)$", output, re.M)[1] == str(1 + 2 * seeds)
    assert ("roup job report" in output) == grouped
    assert output.count("roup job evaluate") == 1 + 2 * seeds


@pytest.mark.slow
def test_killed_at_any_stage_and_started_again_the_tables_are_the_same(finished, prepared, tmp_path):
    folder = prepare(tmp_path, prepared)
    for signal_, sign in (
        (signal.SIGKILL, "results/targets/scenes/edge/shard-00000.tar"),
        (signal.SIGTERM, "results/runs/micro/*/seed0/work/metrics.jsonl"),
        (signal.SIGKILL, "results/predictions/micro/*/seed0/*/meta.json"),
    ):
        process = subprocess.Popen(
            command(), cwd=folder, env=environment(), start_new_session=True, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 200
        while not list(folder.glob(sign)):
            assert process.poll() is None and time.monotonic() < deadline, sign
            time.sleep(0.02)
        os.killpg(process.pid, signal_)
        process.wait()
    snakemake(folder)
    assert (folder / TABLE).read_text() == (finished / TABLE).read_text()


@pytest.mark.parametrize(
    ("changes", "words", "said"),
    [
        ({"arms": ["base", "sft", "edges"]}, [], "config/micro.yaml: arms: unknown proxy 'edges': use one of"),
        ({"recipe": {**STUDY["recipe"], "ratio": [0, 1]}}, [], "config/micro.yaml: recipe.ratio.0"),
        ({}, ["--config", "seeds=1"], "--config: cannot change a study; edit the study file"),
    ],
)
def test_a_study_that_cannot_be_ends_in_one_line_before_anything_runs(changes, words, said, tmp_path):
    write_study(tmp_path, **changes)
    status, output = ended(tmp_path, *words)
    assert status != 0
    lines = [line for line in output.splitlines() if "error" in line.lower()]
    assert len(lines) == 1 and said in lines[0], output
    assert not (tmp_path / "results").exists()


def test_a_failed_job_shows_its_one_line_and_leaves_no_output(finished, prepared, tmp_path):
    folder = prepare(tmp_path, prepared)
    shard = folder / "results/shards/scenes/shard-00000.tar"
    snakemake(folder, "--", "results/shards/scenes/manifest.json")
    shard.write_bytes(shard.read_bytes()[:5000])
    # Damaged after it was made, and no newer: what made it is not run again.
    made = (finished / "results/shards/scenes/shard-00000.tar").stat().st_mtime
    os.utime(shard, (made, made))
    target = "results/targets/scenes/edge/shard-00000.tar"
    status, output = ended(folder, "--", target)
    assert status != 0
    assert f"sgt render: error: {shard.relative_to(folder)}: truncated" in output
    assert not (folder / target).exists()
