"""``sgt predict``: what one run answers to, or makes of, one benchmark."""

import argparse
import re

from sgt.commands.arguments import add_benchmark, load_benchmark
from sgt.evaluation.predict import Shard, predict_benchmark


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt predict``."""
    add_benchmark(parser)
    parser.add_argument(
        "--shard",
        type=_shard,
        metavar="I/N",
        help="predict the I-th of N shares alone; a call without it then joins them",
    )


def run(args: argparse.Namespace) -> None:
    """Write ``results/predictions/RUN/BENCHMARK/``."""
    predict_benchmark(*load_benchmark(args), args.command_line, args.shard)


def _shard(text: str) -> Shard:
    match = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", text)
    if match is None or int(match[1]) > int(match[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is no share: write 2/8 for the second of eight")
    return Shard(int(match[1]), int(match[2]))
