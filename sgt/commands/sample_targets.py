"""``sgt sample-targets``: a proxy arm makes its targets for a few held-out scenes."""

import argparse

from sgt.commands.arguments import add_run, load_run, require_positive
from sgt.evaluation.sample_targets import sample_targets


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt sample-targets``."""
    add_run(parser)
    parser.add_argument("--count", type=int, default=6, help="how many scenes (%(default)s)")


def run(args: argparse.Namespace) -> None:
    """Write ``results/predictions/RUN/targets/``."""
    require_positive(args, "count")
    sample_targets(*load_run(args), args.count, args.command_line)
