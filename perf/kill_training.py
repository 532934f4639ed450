"""Kill a training run at random moments, also while it saves, and compare its result with that of an undisturbed run.

    python perf/kill_training.py config/tiny.yaml --model bagel-tiny --arm segmentation --kills 200

The datasets, targets and base weights of the study must exist; the runs are made in a temporary folder. A run that ends
before there were enough kills is started again from scratch. Exits with 1 if the results differ in any bit. The killed
process is forked from one that has imported everything, so it spends most of its time on training and saving.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import yaml

# Imports everything that the forked processes need.
import sgt.training.train
from sgt.atomic import sha256
from sgt.commands.main import main
from sgt.study.load import load_study


def copy_of_study(study: Path, folder: Path, steps: int) -> Path:
    """A copy of the study in another folder, with its data but without its runs, saving after every step."""
    given = yaml.safe_load(study.read_text())
    results = Path(given.get("results", "results")).resolve()
    given["results"] = str(folder / "results")
    given["recipe"] |= {"steps": steps, "save_every": 1}
    (folder / "results").mkdir(parents=True)
    for part in ("shards", "targets"):
        (folder / "results" / part).symlink_to(results / part)
    for part in ("models", "benchmarks"):
        (folder / part).symlink_to(study.resolve().parent / part)
    copy = folder / study.name
    copy.write_text(yaml.safe_dump(given))
    return copy


def forked(words: list[str], log: Path) -> int:
    """Start a command of sgt in a forked process; returns the process id."""
    process = os.fork()
    if process == 0:
        with open(log, "ab") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            os._exit(main(words))
    return process


def result(study: Path, args: argparse.Namespace) -> tuple:
    """Hashes of the final weights, and losses and gradient norms of all steps."""
    loaded = load_study(study)
    folder = loaded.run_dir(loaded.run(args.model, args.arm, args.seed))
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    weights = [sha256(path) for path in sorted((folder / "final").rglob("*.safetensors"))]
    return weights, [(line["step"], line["ce"], line["mse"], line["grad_norm"]) for line in lines]


def run_killed(study: Path, args: argparse.Namespace, seconds: float, log: Path, whole: tuple) -> dict[str, int]:
    """Run to the end, killing the process at random moments, and repeat until there were enough kills.

    Args:
        study: the copy to run.
        args: of the command line.
        seconds: duration of an undisturbed run.
        log: file for the output of the runs.
        whole: result of an undisturbed run, which every result is compared with.

    Returns:
        Counts by name; ``different`` must be 0.
    """
    loaded = load_study(study)
    folder = loaded.run_dir(loaded.run(args.model, args.arm, args.seed))
    moments = random.Random(args.moments)
    counts = {"kills": 0, "while saving": 0, "as it ended": 0, "starts": 0, "ends": 0, "different": 0}
    while True:
        counts["starts"] += 1
        process = forked(words_of(study, args), log)
        if counts["kills"] < args.kills:
            time.sleep(moments.uniform(0, 0.8 * seconds))
            os.kill(process, signal.SIGKILL)
        status = os.waitpid(process, 0)[1]
        if os.WIFSIGNALED(status):
            counts["kills"] += 1
            counts["while saving"] += bool(list((folder / "work").glob(".step-*.tmp")))
            counts["as it ended"] += (folder / "final").exists()
        elif status:
            sys.exit(f"the run failed without being killed, with status {status}: {log.read_text()}")
        else:
            counts["ends"] += 1
            counts["different"] += result(study, args) != whole
            if counts["kills"] >= args.kills:
                return counts
            shutil.rmtree(folder)


def words_of(study: Path, args: argparse.Namespace) -> list[str]:
    """Arguments of the training command."""
    return ["train", str(study), "--model", args.model, "--arm", args.arm, "--seed", str(args.seed)]


def run() -> int:
    """Run the comparison and print the counts; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--arm", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=20, help="of the run (%(default)s); it saves after each")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--moments", type=int, default=0, help="seed of the moments (%(default)s)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        log = Path(temporary, "log")
        whole = copy_of_study(args.study, Path(temporary, "whole"), args.steps)
        began = time.monotonic()
        if os.waitpid(forked(words_of(whole, args), log), 0)[1]:
            sys.exit(log.read_text())
        seconds = time.monotonic() - began
        killed = copy_of_study(args.study, Path(temporary, "killed"), args.steps)
        counts = run_killed(killed, args, seconds, log, result(whole, args))
    summary = ", ".join(f"{count} {name}" for name, count in counts.items() if name != "different")
    verdict = "DIFFERENT" if counts["different"] else "identical"
    print(f"{args.arm}, {args.steps} steps of {seconds / args.steps:.2f} s: {summary}; {verdict}")
    return bool(counts["different"])


if __name__ == "__main__":
    assert sgt.training.train
    sys.exit(run())
