"""``sgt publish``: upload an exported run to a model hub."""

import argparse
from pathlib import Path

from sgt.reporting.export.publish import check_repository, publish, read_release, warnings_of


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt publish``."""
    parser.add_argument("folder", type=Path, help="what `sgt export` wrote")
    parser.add_argument("--to", required=True, metavar="OWNER/NAME", help="repository on the hub")
    parser.add_argument("--upload", action="store_true", help="upload; without it, print what would be")
    parser.add_argument("--private", action="store_true", help="make a repository that is created private")


def run(args: argparse.Namespace) -> None:
    """Print what is uploaded, and upload it if ``--upload`` says so."""
    check_repository(args.to)
    release = read_release(args.folder)
    print("\n".join(release.lines()))
    for warning in warnings_of(release):
        print(f"warning: {warning}")
    if args.upload:
        print(publish(release, args.to, args.private))
    else:
        print(f"nothing was uploaded: add --upload to send these files to {args.to}")
