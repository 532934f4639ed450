"""``sgt ls``: what there is to work with, and how far it is."""

import argparse
import sys
from pathlib import Path

from sgt.app.columns import aligned
from sgt.app.listing import SECTIONS, listed_studies
from sgt.study.load import load_study


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt ls``."""
    parser.add_argument("section", nargs="?", choices=list(SECTIONS), help="list these alone")
    parser.add_argument(
        "--study", dest="of_study", type=Path, help="list of this study alone (default: those of config/ with results)"
    )


def run(args: argparse.Namespace) -> None:
    """Print runs, models, tasks, proxies and datasets, each with its state.

    Raises:
        SgtError: the named study is not valid; studies that are found and not valid are reported on stderr.
    """
    studies, errors = ([load_study(args.of_study)], []) if args.of_study else listed_studies()
    for error in errors:
        print(f"sgt ls: left out {error}", file=sys.stderr)
    for name in [args.section] if args.section else SECTIONS:
        lines = list(SECTIONS[name](studies))
        title = "" if args.section else f"{name}\n"
        print(title + aligned(lines, indent="" if args.section else "  "), end="\n" if args.section else "\n\n")
