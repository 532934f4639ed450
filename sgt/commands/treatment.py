"""``sgt treatment``: whether a proxy arm learned its proxy, measured on held-out images."""

import argparse

from sgt.commands.arguments import add_run, load_run
from sgt.evaluation.check_treatment import check_treatment


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt treatment``."""
    add_run(parser)


def run(args: argparse.Namespace) -> None:
    """Write ``results/scores/RUN/treatment.json``, and what the arm made to ``results/predictions/RUN/targets/``."""
    check_treatment(*load_run(args), args.command_line)
