"""``sgt score``: metrics from predictions."""

import argparse

from sgt.commands.arguments import add_benchmark, load_benchmark
from sgt.evaluation.score import score_benchmark


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt score``."""
    add_benchmark(parser)


def run(args: argparse.Namespace) -> None:
    """Write ``results/scores/RUN/BENCHMARK.json``."""
    score_benchmark(*load_benchmark(args), args.command_line)
