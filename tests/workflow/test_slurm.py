"""Submission to a real SLURM: ``make test-slurm``, which starts one on this host (tests/rigs/slurm.sh), as root.

The profile is used as it is, but for how often it looks at its jobs.
"""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import yaml

from sgt.atomic import sha256
from tests.conftest import STUDY
from tests.workflow.conftest import TABLE, Clone, clone

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("SGT_TEST_SLURM" not in os.environ, reason="make test-slurm starts SLURM and asks for this"),
]

OFTEN = "--slurm-init-seconds-before-status-checks 1 --seconds-between-status-checks 1 --latency-wait 15"
STEPS = 40
WITH_GPU = {"train", "render", "preview"}
RUN = Path("results/tiny/runs/micro/edge/seed0")
WAIT_SECONDS = 240


def slurm(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def jobs(here: Clone) -> list[dict[str, str]]:
    """Every job that was submitted from a folder."""
    shown = [re.findall(r"(\S+?)=(\S*)", line) for line in slurm("scontrol", "--oneliner", "show", "job").splitlines()]
    return [job for job in map(dict, shown) if job.get("WorkDir") == str(here.folder)]


def rule_of(job: dict[str, str]) -> str:
    """The rule that a job was submitted for, or the group and its rules, from where its log is."""
    return re.search(r"/slurm/(?:rule|group)_([^/]+)/", job["StdOut"])[1]


def of_rule(here: Clone, rule: str) -> list[dict[str, str]]:
    return [job for job in jobs(here) if rule_of(job) == rule]


def job_now(here: Clone, job: dict[str, str]) -> dict[str, str]:
    """What SLURM says of a job now."""
    return next(one for one in jobs(here) if one["JobId"] == job["JobId"])


def until(condition, process: subprocess.Popen):
    """Wait until it holds, while a process runs; returns what it gave."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not (found := condition()):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    return found


def model(here: Clone, name: str = "micro", **train: int) -> None:
    """Write a model like the small one that needs other resources for training."""
    text = yaml.safe_load((here / "config/models/micro.yaml").read_text())
    (here / f"config/models/{name}.yaml").write_text(yaml.safe_dump({**text, "name": name, "train": train}))


def change_study(here: Clone, **changes) -> None:
    study = yaml.safe_load((here / "config/tiny.yaml").read_text())
    (here / "config/tiny.yaml").write_text(yaml.safe_dump({**study, **changes}))


@pytest.fixture(scope="module")
def submitted(origin, tmp_path_factory):
    """A fresh clone in which the study was sent to SLURM, with a GPU for training and for rendering."""
    here = clone(origin, tmp_path_factory.mktemp("slurm") / "sgt")
    model(here, gpu=1, threads=1, mem_mb=1500, runtime=30)
    change_study(here, proxies={"edge": {"task": "edge", "render": {"gpu": 1, "mem_mb": 1200, "runtime": 20}}})
    here.run(f"make study PROFILE=slurm FLAGS='{OFTEN}'")
    return here


def test_from_a_fresh_clone_to_the_tables_as_on_one_machine(submitted, reproduced):
    assert (submitted / "results/tiny/report/index.html").exists()
    assert (submitted / TABLE).read_text() == (reproduced / TABLE).read_text()
    assert "Nothing to be done" in submitted.run(f"make study PROFILE=slurm FLAGS='{OFTEN}'")
    assert "Nothing to be done" in submitted.run("make study")


def test_each_job_asks_for_what_its_model_says(submitted):
    trained = of_rule(submitted, "train")
    assert len(trained) == 2
    for job in trained:
        assert job["TresPerJob"] == "gres:gpu:1" and job["TimeLimit"] == "00:30:00" and job["Requeue"] == "1"
        assert job["MinMemoryNode"] == "1500M" and (job["Partition"], job["Account"]) == ("gpu", "sgt")
    for job in of_rule(submitted, "render"):
        assert (job["TresPerJob"], job["TimeLimit"], job["MinMemoryNode"]) == ("gres:gpu:1", "00:20:00", "1200M")
    assert len(of_rule(submitted, "evaluate_predict_score")) == 3 and not of_rule(submitted, "score")
    assert "steps 6/6" in (submitted / "results/tiny/logs/train/micro/edge/seed0.log").read_text()


def test_jobs_with_a_gpu_go_to_the_partition_of_gpus_and_all_others_to_that_of_cpus(submitted):
    went = {(rule_of(job), "TresPerJob" in job, job["Partition"]) for job in jobs(submitted)}
    assert {(rule, where) for rule, has_gpu, where in went if has_gpu} == {(rule, "gpu") for rule in WITH_GPU}
    without = {rule for rule, has_gpu, where in went if not has_gpu}
    assert {where for _, has_gpu, where in went if not has_gpu} == {"cpu"}
    assert {"toyworld_scenes", "screen", "treatment"} < without and not without & WITH_GPU


@pytest.fixture(scope="module")
def longer(submitted, tmp_path_factory):
    """The study with more steps, and what a run of it gives that nothing stops. It saves when told to alone."""
    recipe = {**STUDY["recipe"], "steps": STEPS, "save_every": 1000}
    change_study(submitted, recipe=recipe)
    submitted.run("sgt train config/tiny.yaml --model micro --arm edge --seed 0")
    whole = sha256(submitted / RUN / "final/ema.safetensors")
    return submitted, whole


def begin(here: Clone) -> tuple[subprocess.Popen, int, dict[str, str]]:
    """Submit the run, stop its process after a few steps; the workflow, the process, the job."""
    here.run(f"rm -r {RUN}")
    command = f"exec snakemake --workflow-profile workflow/profiles/slurm {OFTEN} -- {RUN}/run.json"
    workflow = subprocess.Popen(
        ["timeout", "-k", "5", "300", "bash", "-c", command], cwd=here.folder, env=here.environment()
    )
    metrics = here / RUN / "work/metrics.jsonl"
    until(lambda: metrics.exists() and len(metrics.read_text().splitlines()) >= 3, workflow)
    (process,) = [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if content_of(path).split(b"\0")[1:4] == [b"-m", b"sgt", b"train"] and here.folder.samefile(path.parent / "cwd")
    ]
    os.kill(process, signal.SIGSTOP)
    (job,) = [job for job in of_rule(here, "train") if job["JobState"] == "RUNNING"]
    return workflow, process, job


def lose_power(node: str, job: str) -> None:
    """End the daemon of a node, first, so that it reports nothing, and all that a job runs there."""
    for file, words in (
        ("cmdline", f"slurmd\0-N\0{node}\0"),
        ("cmdline", f"slurmstepd: [{job}."),
        ("environ", f"\0SLURM_JOB_ID={job}\0"),
    ):
        while found := [path for path in Path("/proc").glob(f"[0-9]*/{file}") if words.encode() in content_of(path)]:
            for path in found:
                with suppress(ProcessLookupError):
                    os.kill(int(path.parent.name), signal.SIGKILL)


@contextmanager
def failing(node: str, job: str) -> Iterator[None]:
    """A node without power, which it has again afterwards."""
    try:
        lose_power(node, job)
        yield
    finally:
        slurm("slurmd", "-N", node)


def content_of(path: Path) -> bytes:
    """What a file in /proc holds, nothing if its process has just ended, or lets nobody look."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""


def let_go_once_told(process: int) -> bool:
    """Continue a stopped process when the warning waits for it, as SLURM may have done; whether it has ended."""
    status = Path(f"/proc/{process}/status")
    try:
        pending = int(re.search(r"ShdPnd:\s+(\w+)", status.read_text())[1], 16)
        if pending >> (signal.SIGUSR2 - 1) & 1:
            os.kill(process, signal.SIGCONT)
    except (FileNotFoundError, ProcessLookupError):
        return True
    return False


@pytest.mark.parametrize("how", ["time limit", "scancel", "node failure"])
def test_a_run_that_is_stopped_goes_on_in_another_job_and_ends_with_the_same_bits(how, longer):
    here, whole = longer
    workflow, process, job = begin(here)
    with ExitStack() as until_it_ends:
        if how == "node failure":
            until_it_ends.enter_context(failing(job["NodeList"], job["JobId"]))
            until(lambda: job_now(here, job)["JobState"] == "PENDING", workflow)
            slurm("scontrol", "update", f"JobId={job['JobId']}", "StartTime=now")
        else:
            # Of one minute, all of it is within the warning time.
            word = {"time limit": ["scontrol", "update", f"JobId={job['JobId']}", "TimeLimit=1"]}
            slurm(*word.get(how, ["scancel", "--signal=USR2", job["JobId"]]))
            until(lambda: let_go_once_told(process), workflow)
        assert workflow.wait() == 0
    if how == "node failure":
        assert job_now(here, job)["Restarts"] == "1" and job_now(here, job)["NodeList"] != job["NodeList"]
    else:
        log = (here / "results/tiny/logs/train/micro/edge/seed0.log").read_text()
        assert re.search(r"resuming from .*work/step-\d+", log)
        assert job_now(here, job)["JobState"] == "FAILED"
    assert sha256(here / RUN / "final/ema.safetensors") == whole


def test_two_nodes_of_two_processes_train_one_run_while_another_job_fails(origin, tmp_path):
    here = clone(origin, tmp_path / "sgt")
    model(here, "wide", gpu=2, nodes=2, threads=2, mem_mb=3000, runtime=30)
    model(here, "greedy", mem_mb=999_999_999, runtime=30)
    change_study(here, recipe={**STUDY["recipe"], "batch": 24}, models=["micro", "wide", "greedy"])
    greedy, wide = (f"results/tiny/runs/{name}/sft/seed0/run.json" for name in ("greedy", "wide"))
    profile = f"--workflow-profile workflow/profiles/slurm {OFTEN} --retries 0"
    said = here.run(f"snakemake {profile} -- {greedy} {wide}", status=1)
    words = " ".join(said.split())
    assert "SLURM sbatch failed" in words and "--mem 999999999" in words, said
    assert not (here / greedy).exists()
    assert json.loads((here / wide).read_text())["processes"] == 4
    # SLURM keeps a record of the job that it refused, too.
    assert {job["NumNodes"] for job in of_rule(here, "train") if job["JobState"] == "COMPLETED"} == {"2"}
