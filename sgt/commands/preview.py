"""``sgt preview``: draw a contact sheet of a shard: inputs and targets."""

import argparse
from pathlib import Path

from sgt.atomic import sha256
from sgt.commands.arguments import require_positive
from sgt.identity import write_record
from sgt.proxies import PROXIES
from sgt.proxies.preview import contact_sheet_identity, draw_sheet, proxies_of
from sgt.proxies.render import proxy_named


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt preview``."""
    parser.add_argument("shard", type=Path)
    parser.add_argument("out", type=Path, help="PNG file")
    parser.add_argument("--count", type=int, default=8, help="samples, from the first (%(default)s)")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--proxies", default=",".join(PROXIES), help="names, separated by commas (%(default)s)")
    chosen.add_argument("--options", help="names with what is chosen about each, as a JSON object of objects")
    parser.add_argument("--side", type=int, default=144, help="longest side of a picture, pixels (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the degradations")
    parser.add_argument("--record", type=Path, help="also write a file with the identity of the sheet")


def run(args: argparse.Namespace) -> None:
    """Draw the sheet.

    Raises:
        SgtError: the shard or a sample is damaged, is empty, or a proxy is unknown.
    """
    require_positive(args, "count", "side")
    if args.options is None:
        proxies = {name: proxy_named(name) for name in args.proxies.split(",")}
    else:
        proxies = proxies_of(args.options)
    draw_sheet(proxies, args.shard, args.out, args.count, args.side, args.seed)
    if args.record:
        write_record(args.record, {"identity": contact_sheet_identity(proxies, sha256(args.shard))})
