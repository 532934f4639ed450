"""Kill a training run at random moments, while it saves too, and compare what it ends in with an unkilled run.

    python perf/kill_training.py config/tiny.yaml --model bagel-tiny --arm segmentation --kills 200

The datasets, targets and base weights of the study must be there; the runs happen in a temporary folder. A run that
comes to its end before there were enough kills is begun again. Exits with 1 if a bit of any end differs. The process
that is killed is forked from one that has imported everything, so most of its time is training and saving rather than
starting.
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

# Everything the children need is imported here, once, before they are forked.
import sgt.training.train
from sgt.atomic import sha256
from sgt.commands.main import main
from sgt.study.load import load_study


def copy_of_study(study: Path, folder: Path, steps: int) -> Path:
    """The study in a folder of its own, with its data but none of its runs, saving after every step."""
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
    """Start a command of sgt in a forked process; returns its id."""
    process = os.fork()
    if process == 0:
        with open(log, "ab") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            os._exit(main(words))
    return process


def result(study: Path, args: argparse.Namespace) -> tuple:
    """Hash of the final weights, and losses and gradient norms of all steps."""
    loaded = load_study(study)
    folder = loaded.run_dir(loaded.run(args.model, args.arm, args.seed))
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    weights = [sha256(path) for path in sorted((folder / "final").rglob("*.safetensors"))]
    return weights, [(line["step"], line["ce"], line["mse"], line["grad_norm"]) for line in lines]


def run_killed(study: Path, args: argparse.Namespace, seconds: float, log: Path, whole: tuple) -> dict[str, int]:
    """Run to the end through kills at random moments of a life of ``seconds``, and again until there were enough.

    Every end is compared with ``whole``; returns counts.
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
            sys.exit(f"the run failed by itself with status {status}: {log.read_text()}")
        else:
            counts["ends"] += 1
            counts["different"] += result(study, args) != whole
            if counts["kills"] >= args.kills:
                return counts
            shutil.rmtree(folder)


def words_of(study: Path, args: argparse.Namespace) -> list[str]:
    """The training command."""
    return ["train", str(study), "--model", args.model, "--arm", args.arm, "--seed", str(args.seed)]


def run() -> int:
    """Compare; prints the counts."""
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
    told = ", ".join(f"{count} {name}" for name, count in counts.items() if name != "different")
    verdict = "DIFFERENT" if counts["different"] else "identical"
    print(f"{args.arm}, {args.steps} steps of {seconds / args.steps:.2f} s: {told}; {verdict}")
    return bool(counts["different"])


if __name__ == "__main__":
    assert sgt.training.train
    sys.exit(run())
