"""``sgt export``: a run as a folder that a model hub takes."""

import argparse
from pathlib import Path

from sgt.commands.arguments import add_run, load_run
from sgt.reporting.export.run import export_run


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt export``."""
    add_run(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder to write, absent or empty")
    parser.add_argument("--anyway", action="store_true", help="export a run that did not learn its proxy, too")


def run(args: argparse.Namespace) -> None:
    """Write weights, model card, licences, evidence and references."""
    study, run = load_run(args)
    export_run(study, run, args.out, args.anyway)
