"""``sgt predict``: what one run answers to, or makes of, one benchmark."""

import argparse

from sgt.commands.arguments import add_benchmark, load_benchmark, shard
from sgt.evaluation.predict import predict_benchmark


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt predict``."""
    add_benchmark(parser)
    parser.add_argument(
        "--shard",
        type=shard,
        metavar="I/N",
        help="predict the I-th of N shares alone; a call without it then joins them",
    )


def run(args: argparse.Namespace) -> None:
    """Write ``results/predictions/RUN/BENCHMARK/``."""
    predict_benchmark(*load_benchmark(args), args.command_line, args.shard)
