"""``sgt transplant``: put parts of one run into another."""

import argparse

from sgt.analysis.transplant import transplant
from sgt.commands.arguments import add_run, load_run


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt transplant``; the arm is the transplant's name."""
    add_run(parser)


def run(args: argparse.Namespace) -> None:
    """Write ``results/runs/RUN/final/`` and ``run.json``."""
    transplant(*load_run(args, transplants=True), args.command_line)
