"""Kill a training run at random moments, while it saves too, and compare what it ends in with an unkilled run.

    python benchmarks/kill_training.py config/tiny.yaml --model bagel-tiny --arm segmentation --kills 200

The datasets, targets and base weights of the study must be there; the runs happen in a temporary folder. Exits with 1
if a bit differs. The process that is killed is forked from one that has imported everything, so most of its time is
training and saving rather than starting.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import yaml

# Everything the children need is imported here, once, before they are forked.
import sgt.training.train
from sgt.atomic import sha256
from sgt.cli import main
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


def run_killed(study: Path, args: argparse.Namespace, seconds: float, log: Path) -> dict[str, int]:
    """Run to the end through kills at random moments of a life of ``seconds``; counts them."""
    loaded = load_study(study)
    folder = loaded.run_dir(loaded.run(args.model, args.arm, args.seed))
    moments, counts = random.Random(args.moments), {"kills": 0, "while saving": 0, "starts": 0}
    while counts["kills"] < args.kills or not (folder / "run.json").exists():
        # Done before its time: what ends a run is taken away, so that there is more to kill.
        for path in (folder / "run.json", *(folder / "work").glob(f"step-{args.steps:07d}/state.json")):
            path.unlink(missing_ok=True)
        counts["starts"] += 1
        process = forked(words_of(study, args), log)
        if counts["kills"] < args.kills:
            time.sleep(moments.uniform(0, 0.8 * seconds))
            os.kill(process, signal.SIGKILL)
        status = os.waitpid(process, 0)[1]
        if os.WIFSIGNALED(status):
            counts["kills"] += 1
            counts["while saving"] += bool(list((folder / "work").glob(".step-*.tmp")))
        elif status:
            sys.exit(f"the run failed by itself with status {status}: {log.read_text()}")
    return counts


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
        counts = run_killed(killed, args, seconds, log)
        same = result(whole, args) == result(killed, args)
    told = ", ".join(f"{count} {name}" for name, count in counts.items())
    verdict = "identical" if same else "DIFFERENT"
    print(f"{args.arm}, {args.steps} steps of {seconds / args.steps:.2f} s: {told}; {verdict}")
    return not same


if __name__ == "__main__":
    assert sgt.training.train
    sys.exit(run())
