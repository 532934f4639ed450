"""Print how long each stage took: ``python stage_times.py FOLDER`` sums Snakemake's benchmark files below FOLDER."""

import csv
import sys
from collections import defaultdict
from pathlib import Path


def stage_times(folder: Path) -> dict[str, list[float]]:
    """Seconds of every job, by stage (the first part of a benchmark file's path), slowest stage first."""
    stages = defaultdict(list)
    for path in sorted(folder.rglob("*.tsv")):
        stage = path.relative_to(folder).parts[0].removesuffix(".tsv")
        with path.open(newline="") as file:
            stages[stage] += [float(row["s"]) for row in csv.DictReader(file, delimiter="\t")]
    return dict(sorted(stages.items(), key=lambda item: -sum(item[1])))


def main() -> None:
    """Print one line per stage and a total."""
    stages = stage_times(Path(sys.argv[1]))
    print(f"{'stage':<14}{'jobs':>6}{'seconds':>10}{'longest':>10}")
    for stage, seconds in stages.items():
        print(f"{stage:<14}{len(seconds):>6}{sum(seconds):>10.1f}{max(seconds):>10.1f}")
    every = [second for seconds in stages.values() for second in seconds]
    print(f"{'all':<14}{len(every):>6}{sum(every):>10.1f}")


if __name__ == "__main__":
    main()
