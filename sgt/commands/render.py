"""``sgt render``: render the targets of one shard."""

import argparse
from pathlib import Path

from sgt.proxies import PROXIES
from sgt.proxies.render import proxy_with, render_shard


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt render``."""
    parser.add_argument("proxy", help=f"one of {', '.join(PROXIES)}")
    parser.add_argument("source", type=Path, help="shard of images with annotations")
    parser.add_argument("out", type=Path, help="shard of targets; a report OUT.json is written beside it")
    parser.add_argument("--options", default="{}", help="what a study chose about the proxy, as JSON (%(default)s)")
    parser.add_argument("--max-bad", type=float, default=0.0, help="share of samples that may be refused (%(default)s)")


def run(args: argparse.Namespace) -> None:
    """Render every sample, in the source's order and under its keys."""
    render_shard(proxy_with(args.proxy, args.options), args.source, args.out, args.max_bad)
