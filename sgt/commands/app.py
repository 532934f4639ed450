"""``sgt app``: a study's arms side by side in a browser."""

import argparse

from sgt.app.compare import Comparison
from sgt.app.results import StudyResults
from sgt.commands.arguments import add_study, require_positive
from sgt.study.load import load_study


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt app``."""
    add_study(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (%(default)s: this machine alone)")
    parser.add_argument("--port", type=int, default=7860, help="(%(default)s)")
    parser.add_argument("--memory", type=float, default=40, metavar="GB", help="of one run's weights (%(default)s)")


def run(args: argparse.Namespace) -> None:
    """Serve the page until interrupted.

    Raises:
        SgtError: the study is not valid, or the port is taken.
    """
    require_positive(args, "port", "memory")
    # gradio is an extra, and slow to import.
    from sgt.app.browser import serving

    comparison = Comparison(StudyResults(load_study(args.study)), args.memory * 1e9)
    with serving(comparison, args.host, args.port) as (blocks, _):
        blocks.block_thread()
