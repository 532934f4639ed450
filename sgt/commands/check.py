"""``sgt check``: validate a study, and estimate what it needs: jobs, memory, time and disk."""

import argparse
from collections import Counter

from sgt.commands.arguments import add_study
from sgt.config.study import ARM_WITHOUT_TRAINING
from sgt.study.amounts import many
from sgt.study.load import load_study
from sgt.study.loaded import LoadedStudy
from sgt.study.power import power_lines


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt check``."""
    add_study(parser)
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--quiet", action="store_true", help="print errors only")
    output.add_argument("--results", action="store_true", help="print only the folder of its results")


def run(args: argparse.Namespace) -> None:
    """Print the study's datasets, benchmarks, models with what they take to train, runs and number of jobs.

    Raises:
        SgtError: the study, or a file it names, is not valid.
    """
    study = load_study(args.study)
    if args.results:
        print(study.results)
    elif not args.quiet:
        print("\n".join(describe(study)))


def describe(study: LoadedStudy) -> list[str]:
    """The lines that ``sgt check`` prints."""
    # torch, which estimates are made with, takes longer to import than all the rest.
    from sgt.study.costs import Costs

    lines = [f"study {study.study.name}: valid, results in {study.results}/"]
    for name, dataset in study.study.datasets.items():
        lines.append(f"dataset {name}: {dataset.summary} in {many(dataset.shards, 'shard')}")
    for part in ("proxy", "vqa", "validation"):
        subset = getattr(study.study.data, part)
        if subset and subset.limit is not None:
            lines.append(f"data.{part}: the first {many(subset.limit, 'sample')} of {subset.dataset}")
    for name in study.distinct_proxies:
        if models := study.proxy(name).downloads:
            where = "a GPU" if study.proxy(name).options.render.gpu else "the CPU (a GPU: `render: {gpu: 1}`)"
            lines.append(f"proxy {name}: rendered with {', '.join(models)} on {where}")
    for name, benchmark in study.benchmarks.items():
        protocol = f"{benchmark.task}, protocol {benchmark.protocol}"
        rows = benchmark.dataset or ", ".join(benchmark.data_downloads)
        lines.append(f"benchmark {name} v{benchmark.version}: {protocol}, on {rows}")
    lines += [f"benchmark {name}: not run, {reason}" for name, reason in study.not_run.items()]
    lines += power_lines(study)
    lines += Costs(study).lines()
    for run in study.runs:
        steps = 0 if run.arm == ARM_WITHOUT_TRAINING else study.recipe(run.model, run.arm).steps
        lines.append(f"run {run.id}: {many(steps, 'step')}")
    jobs = job_counts(study)
    counts = ", ".join(f"{count} {stage}" for stage, count in jobs.items())
    return [*lines, f"jobs: {counts}; {sum(jobs.values())} in all"]


def job_counts(study: LoadedStudy) -> dict[str, int]:
    """How many jobs of the main stages a study has when nothing is made yet."""
    trained = [run for run in study.runs if run.arm != ARM_WITHOUT_TRAINING]
    sources = [study.study.datasets[name].source for name in study.used_datasets]
    made = Counter("toyworld" if source == "toyworld" else "shards" for source in sources)
    evaluations = len(study.evaluated_runs) * len(study.benchmarks)
    # Each of the shards of a prediction is a job, and so is joining them.
    shards = [study.models[run.model].predict.shards for run in study.evaluated_runs]
    predictions = len(study.benchmarks) * sum(count + 1 if count > 1 else 1 for count in shards)
    return {
        **made,
        "render": sum(study.rendered_shards.values()),
        "train": len(trained),
        **({"transplant": len(study.transplant_runs)} if study.transplant_runs else {}),
        "predict": predictions,
        **_judge_jobs(study),
        "score": evaluations,
        **({"analyse": len(study.analysed)} if study.analyses else {}),
    }


def _judge_jobs(study: LoadedStudy) -> dict[str, int]:
    """How many jobs judge predictions; empty if none does."""
    judged = [each for each in study.benchmarks.values() if each.judged]
    count = sum(1 if each.judged_together else len(study.evaluated_runs) for each in judged)
    return {"judge": count} if count else {}
