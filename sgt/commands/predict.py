"""``sgt predict``: what one run answers to, or makes of, one benchmark."""

import argparse

from sgt.commands.arguments import add_run, load_run
from sgt.evaluation.predict import predict_benchmark


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt predict``."""
    add_run(parser)
    parser.add_argument("--benchmark", required=True)


def run(args: argparse.Namespace) -> None:
    """Write ``results/predictions/RUN/BENCHMARK/``."""
    study, run = load_run(args)
    predict_benchmark(study, run, study.benchmark(args.benchmark), args.command_line)
