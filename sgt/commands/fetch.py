"""``sgt fetch``: fetch a dataset or model of ``config/data/downloads.yaml``, at its revision, verified."""

import argparse
from pathlib import Path

from sgt.commands.arguments import require_positive
from sgt.config.downloads import DOWNLOADS_FILE
from sgt.data.fetch.fetch import fetch_download


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt fetch``."""
    parser.add_argument("name", help="an entry of the table")
    parser.add_argument("--table", type=Path, default=DOWNLOADS_FILE, help="(%(default)s)")
    parser.add_argument("--into", type=Path, default=Path("downloads"), help="parent of its folder (%(default)s)")
    parser.add_argument("--workers", type=int, default=8, help="files fetched at a time (%(default)s)")
    parser.add_argument("--verify", action="store_true", help="hash the files that are already there again")
    parser.add_argument("--adopt", action="store_true", help="verify files copied there by hand; needs no network")


def run(args: argparse.Namespace) -> None:
    """Fetch what is missing, verify it, and write ``fetched.json`` last."""
    require_positive(args, "workers")
    fetch_download(args.name, args.table, args.into, args.workers, args.verify, args.adopt)
