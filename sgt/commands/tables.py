"""``sgt tables``: the tables of a study."""

import argparse
from pathlib import Path

from sgt.reporting.sources import reporting
from sgt.reporting.tables import write_tables
from sgt.study.load import load_study


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt tables``."""
    parser.add_argument("study", type=Path)


def run(args: argparse.Namespace) -> None:
    """Write the tables, from results of the study as it is.

    Raises:
        SgtError: a result is missing, or not of the study as it is.
    """
    study = load_study(args.study)
    with reporting(study, "tables"):
        write_tables(study)
