"""``sgt figures``: the figures of a study."""

import argparse
from pathlib import Path

from sgt.reporting.figures import write_figures
from sgt.reporting.sources import reporting
from sgt.study.load import load_study


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt figures``."""
    parser.add_argument("study", type=Path)


def run(args: argparse.Namespace) -> None:
    """Write the figures, from results of the study as it is.

    Raises:
        SgtError: a result is missing, or not of the study as it is.
    """
    study = load_study(args.study)
    with reporting(study, "figures"):
        write_figures(study)
