"""``sgt check``: is a study valid, and what does it ask for?"""

import argparse
from collections import Counter
from pathlib import Path

from sgt.study.load import LoadedStudy, load_study
from sgt.study.schema import ARM_WITHOUT_TRAINING


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt check``."""
    parser.add_argument("study", type=Path)


def run(args: argparse.Namespace) -> None:
    """Print the study's datasets, benchmarks, runs and number of jobs.

    Raises:
        SgtError: the study, or a file it names, is not valid.
    """
    print("\n".join(describe(load_study(args.study))))


def describe(study: LoadedStudy) -> list[str]:
    """The lines that ``sgt check`` prints."""
    lines = [f"study {study.study.name}: valid, results in {study.results}/"]
    for name, dataset in study.study.datasets.items():
        lines.append(f"dataset {name}: {dataset.told} in {_many(dataset.shards, 'shard')}")
    for name, benchmark in study.benchmarks.items():
        lines.append(f"benchmark {name} v{benchmark.version}: {benchmark.protocol.kind} on {benchmark.dataset}")
    for run in study.runs:
        steps = 0 if run.arm == ARM_WITHOUT_TRAINING else study.recipe(run.model, run.arm).steps
        lines.append(f"run {run.id}: {_many(steps, 'step')}")
    jobs = job_counts(study)
    told = ", ".join(f"{count} {stage}" for stage, count in jobs.items())
    return [*lines, f"jobs: {told}; {sum(jobs.values())} in all"]


def job_counts(study: LoadedStudy) -> dict[str, int]:
    """How many jobs of the main stages a study has when nothing is made yet."""
    wanted = {benchmark.dataset for benchmark in study.benchmarks.values()}
    rendered = {(study.images(run.proxy), study.proxy_name(run.proxy)) for run in study.runs if run.proxy}
    trained = [run for run in study.runs if run.arm != ARM_WITHOUT_TRAINING]
    if trained:
        wanted.add(study.study.data.vqa)
    # The contact sheet shows the proxy dataset even where no arm is trained on it.
    wanted.add(study.study.data.proxy)
    wanted |= {images for images, _ in rendered}
    made = Counter("toyworld" if study.study.datasets[name].source == "toyworld" else "shards" for name in wanted)
    evaluations = len(study.runs) * len(study.benchmarks)
    return {
        **made,
        "render": sum(study.study.datasets[images].shards for images, _ in rendered),
        "train": len(trained),
        "predict": evaluations,
        "score": evaluations,
    }


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
