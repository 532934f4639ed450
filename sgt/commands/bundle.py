"""``sgt bundle``: a study's tables, figures and references for a paper."""

import argparse
from pathlib import Path

from sgt.commands.arguments import add_study
from sgt.reporting.export.bundle import write_bundle
from sgt.study.load import load_study


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt bundle``."""
    add_study(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder to write, absent or empty")


def run(args: argparse.Namespace) -> None:
    """Write tables, figures, references, evidence, status and how to cite the study."""
    write_bundle(load_study(args.study), args.out)
