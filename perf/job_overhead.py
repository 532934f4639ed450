"""What a job costs beside its work: the start of its command, as seconds and against an empty Python.

Run as ``python perf/job_overhead.py [REPEATS]`` from the repository root; the fastest of the repeats counts. Each
command is started with an argument that it refuses, so it does all its imports and none of its work. Beside it stands
what Snakemake itself takes per local job: a workflow of jobs that do nothing, less one of a single such job.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sgt.commands.main import COMMANDS

JOBS = 21


def seconds(command: list[str], repeats: int, **options) -> float:
    """Wall-clock time of a command, the fastest of some."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        subprocess.run(command, capture_output=True, check=False, **options)
        times.append(time.perf_counter() - began)
    return min(times)


def of_snakemake(repeats: int) -> float:
    """Seconds per job of a local workflow whose jobs do nothing, one at a time."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "Snakefile").write_text('rule one:\n    output: "{name}"\n    shell: "touch {output}"\n')
        words = [sys.executable, "-m", "snakemake", "--cores", "1", "--quiet", "all", "--forceall", "--"]
        one, many = (seconds([*words, *map(str, range(count))], repeats, cwd=folder) for count in (1, JOBS))
        return (many - one) / (JOBS - 1)


def main() -> None:
    """Print a line per command."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    empty = seconds([sys.executable, "-c", "pass"], repeats)
    print(f"python, nothing imported   {empty:.2f} s")
    for name in COMMANDS:
        taken = seconds([sys.executable, "-m", "sgt", name, "--no-such-option"], repeats)
        print(f"sgt {name:<22} {taken:.2f} s, {taken / empty:3.0f} x")
    print(f"snakemake, per local job   {of_snakemake(repeats):.2f} s")


if __name__ == "__main__":
    main()
