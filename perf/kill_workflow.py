"""Kill jobs and the workflow of a small study at random, edit the study meanwhile, and compare with an undisturbed run.

    python perf/kill_workflow.py --rounds 30

Each round starts Snakemake, waits for a random time, and then either ends it (SIGTERM), kills it with all its jobs, or
kills one job, as the system does when memory runs out. Then it may edit the study. At the end the study is run until
nothing is left to do, in the disturbed folder and in an undisturbed one. Exits with 1 if a table, a score or a weight
differs. Base weights are fetched from ``store/``.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from sgt.identity import read_record

ROOT = Path(__file__).parents[1]
STUDY = "config/rounds.yaml"
SPLITS = {"pretrain": "pretrain", "scenes": "proxy", "questions": "vqa", "test": "test"}
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
# Fields that are edited, with their values; every edit changes numbers.
EDITS = {
    ("recipe", "optimizer", "lr"): [1.0e-3, 2.0e-3],
    ("recipe", "steps"): [6, 8],
    ("proxies", "edge", "method"): ["gradient", "canny"],
    ("datasets", "test", "scenes"): [12, 16],
}


def main(argv: list[str] | None = None) -> int:
    """Run the rounds; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30, help="(%(default)s)")
    parser.add_argument("--longest", type=float, default=30, help="seconds before a kill, at most (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of times, victims and edits (%(default)s)")
    args = parser.parse_args(argv)
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        disturbed, undisturbed = prepare(Path(folder) / "disturbed"), prepare(Path(folder) / "undisturbed")
        for number in range(args.rounds):
            done = disturb(disturbed, rng, args.longest)
            edited = edit(disturbed, rng) if rng.random() < 0.5 else "not edited"
            print(f"round {number + 1}/{args.rounds}: {done}; {edited}", flush=True)
        shutil.copyfile(disturbed / STUDY, undisturbed / STUDY)
        for where in (disturbed, undisturbed):
            subprocess.run(command(), cwd=where, env=environment(), check=True, **QUIET)
        planned = [*command(), "--dry-run"]
        again = subprocess.run(planned, cwd=disturbed, env=environment(), capture_output=True, text=True, check=True)
        different = [name for name, value in outcome(disturbed).items() if outcome(undisturbed).get(name) != value]
        different += [] if "Nothing to be done" in again.stdout + again.stderr else ["something is left to do"]
    print(f"{args.rounds} rounds; different from an undisturbed run: {', '.join(different) or 'nothing'}")
    return bool(different)


def prepare(folder: Path) -> Path:
    """Create a folder with a small study of BAGEL's tiny model and its base weights."""
    shutil.copytree(ROOT / "config", folder / "config")
    for name in (".dvc", "store", "data.dvc"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, folder / name)
    tiny = yaml.safe_load((folder / "config/tiny.yaml").read_text())
    toyworld = {name: {"source": "toyworld", "split": split} for name, split in SPLITS.items()}
    study = {
        "name": "rounds",
        "models": ["bagel-tiny"],
        "arms": ["base", "sft", "edge"],
        "seeds": [0],
        "recipe": {**tiny["recipe"], "batch": 6, "save_every": 2, "validate_every": 0},
        "proxies": {"edge": {"task": "edge"}},
        "datasets": {name: {**about, "scenes": 24, "per_shard": 12} for name, about in toyworld.items()},
        "data": {"proxy": "scenes", "vqa": "questions"},
        "benchmarks": ["toyworld-qa"],
    }
    for field, values in EDITS.items():
        _set(study, field, values[0])
    (folder / STUDY).write_text(yaml.safe_dump(study))
    return folder


def command() -> list[str]:
    """Snakemake on two cores, with the workflow and the profile of this checkout."""
    where = ["-s", f"{ROOT}/workflow/Snakefile", "--workflow-profile", f"{ROOT}/workflow/profiles/default"]
    return [sys.executable, "-m", "snakemake", *where, "--cores", "2", "--configfile", STUDY]


def environment() -> dict[str, str]:
    """Environment variables with which jobs find the programs of this Python's environment."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}


def disturb(folder: Path, rng: random.Random, longest: float) -> str:
    """Start the workflow and disturb it; returns a description of what happened."""
    process = subprocess.Popen(command(), cwd=folder, env=environment(), start_new_session=True, **QUIET)
    wait, what = (
        rng.uniform(3, longest),
        rng.choice(["end the workflow", "kill everything", "kill a job", "kill a job"]),
    )
    deadline = time.monotonic() + wait
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    if process.poll() is not None:
        if process.returncode:
            raise SystemExit(f"the workflow ended with {process.returncode}, without being disturbed")
        return f"ended before {wait:.0f} s"
    if what == "end the workflow":
        process.send_signal(signal.SIGTERM)
    elif what == "kill everything":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        jobs = _jobs(process.pid)
        if jobs:
            victim = rng.choice(jobs)
            what += f" ({victim[1]})"
            os.kill(victim[0], signal.SIGKILL)
    process.wait()
    return f"{what} after {wait:.0f} s, status {process.returncode}"


def _jobs(session: int) -> list[tuple[int, str]]:
    """Id and command of each process of a session that runs ``sgt``."""
    listed = subprocess.run(["ps", "-s", str(session), "-o", "pid=,args="], capture_output=True, text=True).stdout
    found = []
    for line in listed.splitlines():
        pid, *words = line.split()
        name = next((place for place, word in enumerate(words[:4]) if Path(word).name == "sgt"), None)
        if name is not None and len(words) > name + 1 and "bash" not in words[0]:
            found.append((int(pid), words[name + 1]))
    return found


def edit(folder: Path, rng: random.Random) -> str:
    """Set a random field of the study to a random one of its values; returns a description of the edit."""
    path = folder / STUDY
    study = yaml.safe_load(path.read_text())
    field = rng.choice(sorted(EDITS))
    value = rng.choice(EDITS[field])
    _set(study, field, value)
    path.write_text(yaml.safe_dump(study))
    return f"{'.'.join(field)} is {value}"


def _set(study: dict, field: tuple[str, ...], value: object) -> None:
    *parents, last = field
    for key in parents:
        study = study[key]
    study[last] = value


def outcome(folder: Path) -> dict[str, object]:
    """What must be equal: tables, scores, and the hashes of all runs' weights."""
    found: dict[str, object] = {path.name: path.read_text() for path in folder.glob("results/tables/*.csv")}
    for path in folder.glob("results/scores/*/*/*/*.json"):
        score = json.loads(path.read_text())
        found[str(path.relative_to(folder))] = (score["metrics"], score["items"], score["identity"])
    for path in folder.glob("results/runs/*/*/*/run.json"):
        found[str(path.relative_to(folder))] = read_record(path)["checkpoint_sha256"]
    return found


if __name__ == "__main__":
    sys.exit(main())
