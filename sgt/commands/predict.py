"""``sgt predict``: what one run answers to, or makes of, one benchmark."""

import argparse
import re

from sgt.commands.arguments import add_run, load_run
from sgt.evaluation.predict import Shard, predict_benchmark


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


def shard(text: str) -> Shard:
    """A share of a job from its text, ``2/8`` for the second of eight.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    match = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", text)
    if match is None or int(match[1]) > int(match[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is no share: write 2/8 for the second of eight")
    return Shard(int(match[1]), int(match[2]))
