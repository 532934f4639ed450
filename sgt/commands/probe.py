"""``sgt probe``: linear probes of what each layer of a run's model encodes."""

import argparse

from sgt.analysis.analyse import analyse
from sgt.commands.arguments import add_analysis, load_run

KIND = "probe"


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt probe``."""
    add_analysis(parser, KIND)


def run(args: argparse.Namespace) -> None:
    """Write ``results/analyses/RUN/NAME.json``."""
    analyse(*load_run(args), KIND, args.analysis, args.command_line)
