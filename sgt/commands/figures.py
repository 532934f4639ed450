"""``sgt figures``: the figures of a study."""

import argparse

from sgt.commands.arguments import add_study
from sgt.reporting.figures import write_figures
from sgt.reporting.sources import write_page


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt figures``."""
    add_study(parser)


def run(args: argparse.Namespace) -> None:
    """Write the figures, from results of the study as it is."""
    write_page(args.study, "figures", write_figures)
