"""What a job costs beside its work: the start of a command, against that of the Python it runs in.

Run as ``python benchmarks/job_overhead.py [REPEATS]`` from the repository root. Each command is started with an
argument that it refuses, so it does all its imports and none of its work. Beside it stands what Snakemake itself takes
per job: a workflow of jobs that do nothing, less one of a single such job.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sgt.cli import COMMANDS

PYTHON = [sys.executable, "-c", "pass"]
JOBS = 21


def seconds(command: list[str], repeats: int, **options) -> float:
    """Median wall-clock time of a command."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        subprocess.run(command, capture_output=True, check=False, **options)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def of_snakemake() -> float:
    """Seconds per job of a local workflow whose jobs do nothing, one at a time."""
    with tempfile.TemporaryDirectory() as folder:
        rules = 'rule one:\n    output: "{name}"\n    shell: "touch {output}"\n'
        (Path(folder) / "Snakefile").write_text(rules)
        words = [sys.executable, "-m", "snakemake", "--cores", "1", "--quiet", "all", "--forceall"]
        one, many = (seconds([*words, *map(str, range(count))], 1, cwd=folder) for count in (1, JOBS))
        return (many - one) / (JOBS - 1)


def main() -> None:
    """Print a line per command: seconds, and less an empty Python."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    empty = seconds(PYTHON, repeats)
    print(f"python, nothing imported   {empty:.2f} s")
    for name in COMMANDS:
        taken = seconds([sys.executable, "-m", "sgt", name, "--no-such-option"], repeats)
        print(f"sgt {name:<22} {taken:.2f} s, {taken / empty:4.0f} x")
    print(f"snakemake, per local job   {of_snakemake():.2f} s")


if __name__ == "__main__":
    main()
