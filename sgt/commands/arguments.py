"""Arguments that several commands share."""

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from sgt.config.benchmarks import Benchmark
from sgt.errors import SgtError
from sgt.evaluation.predictions import Shard
from sgt.study.load import load_study
from sgt.study.loaded import LoadedStudy
from sgt.study.runs import Run

if TYPE_CHECKING:
    from sgt.app.interactive import InteractiveModel


def add_study(parser: argparse.ArgumentParser) -> None:
    """Add the study."""
    parser.add_argument("study", type=Path, help="study file")


def add_run(parser: argparse.ArgumentParser) -> None:
    """Add the study and the three coordinates of a run."""
    add_study(parser)
    parser.add_argument("--model", required=True)
    parser.add_argument("--arm", required=True)
    parser.add_argument("--seed", type=int, required=True)


def load_run(args: argparse.Namespace, transplants: bool = False) -> tuple[LoadedStudy, Run]:
    """The study and the run that the arguments of :func:`add_run` name.

    Args:
        args: of the command.
        transplants: the arm may be the name of a transplant.

    Raises:
        SgtError: the study is not valid, or has no such run.
    """
    study = load_study(args.study)
    return study, study.run(args.model, args.arm, args.seed, transplants)


def add_benchmark(parser: argparse.ArgumentParser) -> None:
    """Add a run, and the name of a benchmark with an optional limit of its samples."""
    add_run(parser)
    parser.add_argument("--benchmark", required=True)
    add_limit(parser)


def add_limit(parser: argparse.ArgumentParser) -> None:
    """Add a limit of the samples of a benchmark."""
    parser.add_argument(
        "--limit",
        type=int,
        help="use the first so many samples alone; results lie beside those of all samples, as BENCHMARK.limit-N",
    )


def load_benchmark(args: argparse.Namespace) -> tuple[LoadedStudy, Run, Benchmark]:
    """The study, the run, which may be a transplant, and the benchmark of :func:`add_benchmark`.

    Raises:
        SgtError: the study is not valid, has no such run or benchmark, or the limit is below 1.
    """
    study, run = load_run(args, transplants=True)
    return study, run, limited_benchmark(study, args)


def limited_benchmark(study: LoadedStudy, args: argparse.Namespace) -> Benchmark:
    """The benchmark of the arguments, with the limit of :func:`add_limit`.

    Raises:
        SgtError: the study has no such benchmark, or the limit is below 1.
    """
    if args.limit is not None:
        require_positive(args, "limit")
    return study.benchmark(args.benchmark, args.limit)


def add_analysis(parser: argparse.ArgumentParser, kind: str) -> None:
    """Add a run, and the name of an analysis of this kind."""
    add_run(parser)
    parser.add_argument("--analysis", default=kind, help=f"its name in the study (default: {kind})")


def add_model_by_name(parser: argparse.ArgumentParser) -> None:
    """Add a run or a checkpoint as people name them, and the study that a run is of."""
    parser.add_argument(
        "name", metavar="RUN|MODEL", help="MODEL/ARM/seedN, a model of config/models, or a folder of `sgt export`"
    )
    parser.add_argument("--study", dest="of_study", type=Path, help="that has the run (default: the one of config/)")


def use_its_threads(model: "InteractiveModel") -> None:
    """Use as many CPU threads as a job of the model's predictions does, so that results are the same."""
    import torch

    torch.set_num_threads(model.spec.predict.threads)


def require_positive(args: argparse.Namespace, *names: str) -> None:
    """Check that integer options are at least 1.

    Raises:
        SgtError: one is not.
    """
    for name in names:
        if (value := getattr(args, name)) < 1:
            raise SgtError(
                f"--{name.replace('_', '-')}", f"must be at least 1, got {value}", f"see `sgt {args.command} --help`"
            )


def shard(text: str) -> Shard:
    """A share of a job from its text, ``2/8`` for the second of eight.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    match = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", text)
    if match is None or int(match[1]) > int(match[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is no share: write 2/8 for the second of eight")
    return Shard(int(match[1]), int(match[2]))
