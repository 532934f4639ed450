"""``sgt attend``: what a run's model attends to, layer by layer, while it answers and while it draws."""

import argparse

from sgt.analysis.analyse import analyse
from sgt.commands.arguments import add_analysis, load_run

KIND = "attend"


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt attend``."""
    add_analysis(parser, KIND)


def run(args: argparse.Namespace) -> None:
    """Write ``results/analyses/RUN/NAME.json``."""
    analyse(*load_run(args), KIND, args.analysis, args.command_line)
