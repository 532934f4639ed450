"""Overhead of a job: the start-up time of each command, in seconds and relative to an empty Python.

Run as ``python perf/job_overhead.py [REPEATS]`` from the repository root; the fastest of the repeats counts. Each
command is started with an invalid argument, so it does its imports and nothing else. Also measured is Snakemake's own
time per local job: a workflow of empty jobs, minus a workflow of one.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sgt.commands.main import COMMANDS

JOBS = 21


def seconds(command: list[str], repeats: int, **options) -> float:
    """Wall-clock time of the fastest of several runs of a command."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        subprocess.run(command, capture_output=True, check=False, **options)
        times.append(time.perf_counter() - began)
    return min(times)


def seconds_per_snakemake_job(repeats: int) -> float:
    """Seconds per job of a local workflow of empty jobs, one at a time."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "Snakefile").write_text('rule one:\n    output: "{name}"\n    shell: "touch {output}"\n')
        words = [sys.executable, "-m", "snakemake", "--cores", "1", "--quiet", "all", "--forceall", "--"]
        one, many = (seconds([*words, *map(str, range(count))], repeats, cwd=folder) for count in (1, JOBS))
        return (many - one) / (JOBS - 1)


def main() -> None:
    """Print one line per command."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    empty = seconds([sys.executable, "-c", "pass"], repeats)
    print(f"python, nothing imported   {empty:.2f} s")
    for name in COMMANDS:
        start_up = seconds([sys.executable, "-m", "sgt", name, "--no-such-option"], repeats)
        print(f"sgt {name:<22} {start_up:.2f} s, {start_up / empty:3.0f} x")
    print(f"snakemake, per local job   {seconds_per_snakemake_job(repeats):.2f} s")


if __name__ == "__main__":
    main()
