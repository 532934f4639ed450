"""``sgt train``: post-train one run of a study."""

import argparse

from sgt.commands.arguments import add_run, load_run
from sgt.training.train import train_run


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt train``."""
    add_run(parser)


def run(args: argparse.Namespace) -> None:
    """Train a run to its end, or do nothing if it is finished."""
    train_run(*load_run(args), args.command_line)
