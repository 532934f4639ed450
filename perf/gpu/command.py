"""The command: runs the steps one after another and writes the report after each."""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from perf.gpu.report import Outcome, about_machine, write_report
from perf.gpu.rows import RowFile
from perf.gpu.steps import STEPS

ROOT = Path(__file__).parents[2]
# Seconds for the whole command by default: less than the ten minutes that a lent machine may give to one.
LIMIT = 570
# Seconds below which a step is not worth starting, and characters of an error that are kept.
SHORTEST, END_OF_ERROR = 5, 400
COMPLETE = "complete"


def main(words: Sequence[str] | None = None) -> None:
    """Measure everything, or some steps; a step that fails or is stopped does not end the command."""
    parser = argparse.ArgumentParser(prog="perf.gpu", description="Measure training and inference on one GPU.")
    parser.add_argument("--device", help="cuda if there is one, else cpu")
    parser.add_argument("--tiny", action="store_true", help="tiny models and packs, to try the command on the CPU")
    parser.add_argument("--out", type=Path, default=Path("build/perf-gpu"), help="folder of results.json and .md")
    parser.add_argument("--limit", type=int, default=LIMIT, help="seconds for the whole command")
    parser.add_argument("--steps", nargs="+", choices=list(STEPS), default=list(STEPS), help="to run, in this order")
    args = parser.parse_args(words)
    args.out.mkdir(parents=True, exist_ok=True)
    rows = RowFile(args.out.resolve() / "rows.jsonl")
    rows.path.unlink(missing_ok=True)
    began, outcomes, machine = time.monotonic(), [], about_machine()
    device = args.device or ("cuda" if machine["gpu"] else "cpu")
    for name in args.steps:
        left = args.limit - (time.monotonic() - began)
        outcomes.append(run_step(name, [str(rows.path), device, "tiny" if args.tiny else "full"], left))
        print(f"{name}: {outcomes[-1].ended}, {outcomes[-1].seconds:.0f} s", flush=True)
        write_report(args.out, machine, outcomes, rows.read())
    sys.exit(0 if all(outcome.ended == COMPLETE for outcome in outcomes) else 1)


def run_step(name: str, words: Sequence[str], left: float) -> Outcome:
    """Run a step in a process.

    Args:
        name: of the step.
        words: what its process is called with, besides.
        left: seconds that the whole command has left.
    """
    seconds = min(STEPS[name].seconds, left)
    if seconds < SHORTEST:
        return Outcome(name, 0.0, "not started: no time was left")
    began = time.monotonic()
    ended = run_limited([sys.executable, "-m", "perf.gpu.worker", name, *words], seconds)
    return Outcome(name, time.monotonic() - began, ended)


def run_limited(command: Sequence[str], seconds: float) -> str:
    """Run a command from the repository root, and kill it with its children at a time limit; returns how it ended."""
    # Fragmentation must not decide what fits.
    environment = {**os.environ, "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        _, error = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        return f"stopped after {seconds:.0f} s"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return COMPLETE if process.returncode == 0 else f"failed: {error.strip()[-END_OF_ERROR:]}"
