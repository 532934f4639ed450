"""``sgt report``: the report of a study."""

import argparse

from sgt.commands.arguments import add_study
from sgt.reporting.report import write_report
from sgt.reporting.sources import write_page


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt report``."""
    add_study(parser)


def run(args: argparse.Namespace) -> None:
    """Write the report, from results of the study as it is."""
    write_page(args.study, "report", write_report)
