"""``sgt predict``: what one run answers to, or makes of, one benchmark."""

import argparse

from sgt.commands.arguments import add_run, load_run, shard
from sgt.evaluation.predict import predict_benchmark


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt predict``."""
    add_run(parser)
    parser.add_argument("--benchmark", required=True)
    parser.add_argument(
        "--shard",
        type=shard,
        metavar="I/N",
        help="predict the I-th of N shares alone; a call without it then joins them",
    )


def run(args: argparse.Namespace) -> None:
    """Write ``results/predictions/RUN/BENCHMARK/``."""
    study, run = load_run(args, transplants=True)
    predict_benchmark(study, run, study.benchmark(args.benchmark), args.command_line, args.shard)
