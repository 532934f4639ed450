"""``sgt render``: render the targets of one shard, or of pictures."""

import argparse
from pathlib import Path

from sgt.data.pictures import is_shard, picture_files
from sgt.proxies import PROXIES
from sgt.proxies.render import proxy_with, render_shard, require_downloads
from sgt.proxies.render_pictures import render_pictures


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt render``."""
    parser.add_argument("proxy", help=f"one of {', '.join(PROXIES)}")
    parser.add_argument(
        "source", type=Path, nargs="+", help="shard of images with annotations (.tar), or pictures and folders of them"
    )
    parser.add_argument(
        "out", type=Path, help="shard of targets, with a report OUT.json beside it; of pictures, a folder of targets"
    )
    parser.add_argument("--options", default="{}", help="what a study chose about the proxy, as JSON (%(default)s)")
    parser.add_argument("--max-bad", type=float, default=0.0, help="share of samples that may be refused (%(default)s)")


def run(args: argparse.Namespace) -> None:
    """Render every sample, in the source's order and under its keys."""
    proxy = proxy_with(args.proxy, args.options)
    require_downloads([proxy])
    if is_shard(args.source):
        render_shard(proxy, args.source[0], args.out, args.max_bad)
    else:
        render_pictures(proxy, picture_files(args.source), args.out, args.max_bad)
