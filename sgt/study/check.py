"""``sgt check``: is a study valid, and what does it ask for, of a machine and in jobs?"""

import argparse
from collections import Counter
from pathlib import Path

from sgt.models.families import sizes_of
from sgt.study.load import LoadedStudy, load_study
from sgt.study.models import Model
from sgt.study.recipe import Recipe
from sgt.study.schema import ARM_WITHOUT_TRAINING
from sgt.training import estimate

SIZES_OF_GPU = (80, 141)


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt check``."""
    parser.add_argument("study", type=Path)


def run(args: argparse.Namespace) -> None:
    """Print the study's datasets, benchmarks, models with what they take to train, runs and number of jobs.

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
    trained = [run.model for run in study.runs if run.arm != ARM_WITHOUT_TRAINING]
    for name, model in study.models.items():
        lines += estimates(model, study.recipe(name), trained.count(name))
    for run in study.runs:
        steps = 0 if run.arm == ARM_WITHOUT_TRAINING else study.recipe(run.model, run.arm).steps
        lines.append(f"run {run.id}: {_many(steps, 'step')}")
    jobs = job_counts(study)
    told = ", ".join(f"{count} {stage}" for stage, count in jobs.items())
    return [*lines, f"jobs: {told}; {sum(jobs.values())} in all"]


def estimates(spec: Model, recipe: Recipe, runs: int) -> list[str]:
    """What a model takes to train by a recipe: see :mod:`sgt.training.estimate` for what the figures count.

    Args:
        spec, recipe: of the model.
        runs: that are trained.
    """
    sizes = sizes_of(spec)
    if sizes is None:
        return [f"model {spec.name}: no estimate, its file gives no architecture"]
    devices = max(spec.train.gpu, 1) * spec.train.nodes
    tokens = estimate.step_tokens(spec, sizes, recipe)
    share = estimate.share(tokens, devices)
    pack = estimate.pack(share, recipe)
    memory = estimate.memory(sizes, recipe, pack, spec.largest_sides[1] ** 2, devices)
    parts = ", ".join(f"{part} {_amount(count)}" for part, count in sizes.parameters.items())
    bytes_of = " + ".join(f"{name} {_amount(value)}B" for name, value in vars(memory).items() if value)
    trains = _amount(estimate.trainable_values(sizes, recipe))
    flops = estimate.step_flops(sizes, recipe, tokens)
    final, progress = estimate.checkpoint_bytes(sizes), estimate.progress_bytes(sizes, recipe)
    where = _many(spec.train.gpu, "GPU") if spec.train.gpu else "the CPU"
    told = [
        f"{_amount(sum(sizes.parameters.values()))} parameters ({parts})",
        f"trains {trains} in {recipe.precision} on {where}, {share.all} of {tokens.all} tokens of a step on each,"
        f" {pack.all} at once",
        f"memory {bytes_of} = {_amount(memory.total)}B",
        f"disk {_amount(final)}B per finished run, {_amount(progress)}B per resumable checkpoint of a run in"
        f" progress; {_amount(runs * final)}B when {_many(runs, 'run')} are finished",
    ]
    if spec.train.gpu:
        fits = ", ".join(f"{size} GB: {'yes' if memory.fits(size) else 'no'}" for size in SIZES_OF_GPU)
        seconds = flops / devices / estimate.PEAK_FLOPS / estimate.MFU
        told[2] += f" per GPU; fits {fits}"
        told.append(
            f"{_amount(flops)}FLOP per step; at {estimate.MFU:.0%} of {_amount(estimate.PEAK_FLOPS)}FLOP/s per GPU"
            f" {seconds:.2g} s, {recipe.steps * seconds / 3600:.2g} h per run"
        )
    else:
        told.append(f"{_amount(flops)}FLOP per step")
    return [f"model {spec.name}: {line}" for line in told]


def _amount(value: float) -> str:
    """With three digits and a prefix: 29.2 G."""
    for prefix, size in (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {prefix}"
    return f"{value:.3g} "


def job_counts(study: LoadedStudy) -> dict[str, int]:
    """How many jobs of the main stages a study has when nothing is made yet."""
    wanted = {benchmark.dataset for benchmark in study.benchmarks.values()}
    rendered = {(study.images(run.proxy), study.proxy_name(run.proxy)) for run in study.runs if run.proxy}
    trained = [run for run in study.runs if run.arm != ARM_WITHOUT_TRAINING]
    if trained:
        wanted |= {study.study.data.vqa, *filter(None, [study.study.data.validation])}
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
