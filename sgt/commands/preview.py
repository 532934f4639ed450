"""``sgt preview``: draw a contact sheet of a shard or of pictures: inputs and targets."""

import argparse
from pathlib import Path

from sgt.atomic import sha256
from sgt.commands.arguments import require_positive
from sgt.data.pictures import is_shard, picture_files, read_pictures
from sgt.data.shards import read_shard
from sgt.identity import digest, write_record
from sgt.proxies import PROXIES
from sgt.proxies.preview import contact_sheet_identity, draw_sheet, proxies_of
from sgt.proxies.render import proxy_named, require_downloads


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt preview``."""
    parser.add_argument("source", type=Path, nargs="+", help="shard (.tar), or pictures and folders of them")
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
        SgtError: the source or a sample is damaged or empty, or a proxy is unknown.
    """
    require_positive(args, "count", "side")
    if args.options is None:
        proxies = {name: proxy_named(name) for name in args.proxies.split(",")}
    else:
        proxies = proxies_of(args.options)
    require_downloads(proxies.values())
    shown = args.source[0] if is_shard(args.source) else picture_files(args.source)
    samples = read_shard(shown) if isinstance(shown, Path) else read_pictures(shown[: args.count])
    source = args.source[0] if len(args.source) == 1 else f"{len(args.source)} pictures and folders"
    draw_sheet(proxies, samples, source, args.out, args.count, args.side, args.seed)
    if args.record:
        content = sha256(shown) if isinstance(shown, Path) else digest([sha256(file.path) for file in shown])
        write_record(args.record, {"identity": contact_sheet_identity(proxies, content)})
