"""``sgt tables``: the tables of a study."""

import argparse

from sgt.commands.arguments import add_study
from sgt.reporting.sources import write_page
from sgt.reporting.tables import write_tables


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt tables``."""
    add_study(parser)


def run(args: argparse.Namespace) -> None:
    """Write the tables, from results of the study as it is."""
    write_page(args.study, "tables", write_tables)
