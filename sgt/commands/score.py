"""``sgt score``: metrics from predictions."""

import argparse

from sgt.commands.arguments import add_run, load_run
from sgt.evaluation.score import score_benchmark


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt score``."""
    add_run(parser)
    parser.add_argument("--benchmark", required=True)


def run(args: argparse.Namespace) -> None:
    """Write ``results/scores/RUN/BENCHMARK.json``."""
    study, run = load_run(args, transplants=True)
    score_benchmark(study, run, study.benchmark(args.benchmark), args.command_line)
