"""``sgt ablate``: how well a run answers with what text reads from images replaced by its mean, in some layers."""

import argparse

from sgt.analysis.analyse import analyse
from sgt.commands.arguments import add_analysis, load_run

KIND = "ablate"


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt ablate``."""
    add_analysis(parser, KIND)


def run(args: argparse.Namespace) -> None:
    """Write ``results/analyses/RUN/NAME.json``."""
    analyse(*load_run(args), KIND, args.analysis, args.command_line)
