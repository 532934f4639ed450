"""``sgt fetch``: a dataset or model of ``config/data/downloads.yaml``, at a fixed revision, verified."""

import argparse
import logging
from pathlib import Path

from huggingface_hub import constants
from huggingface_hub.utils import logging as hub_logging

from sgt.atomic import write_json
from sgt.data.fetch import FETCHED
from sgt.data.fetch.adopt import adopt
from sgt.data.fetch.download import check_offline, download
from sgt.data.fetch.lock import Lock, exclusive_fetch
from sgt.errors import SgtError
from sgt.study.downloads import DOWNLOADS_FILE, load_download

log = logging.getLogger("sgt")


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt fetch``."""
    parser.add_argument("name", help="an entry of the table")
    parser.add_argument("--table", type=Path, default=DOWNLOADS_FILE, help="(%(default)s)")
    parser.add_argument("--into", type=Path, default=Path("downloads"), help="parent of its folder (%(default)s)")
    parser.add_argument("--workers", type=int, default=8, help="files fetched at a time (%(default)s)")
    parser.add_argument("--verify", action="store_true", help="hash the files that are already there again")
    parser.add_argument("--adopt", action="store_true", help="verify files copied there by hand; needs no network")


def run(args: argparse.Namespace) -> None:
    """Fetch what is missing, verify it, and write ``fetched.json`` last.

    The hub is that of HF_ENDPOINT; HF_TOKEN is sent to it if set. With HF_HUB_OFFLINE=1 no server is contacted.
    """
    if args.workers < 1:
        raise SgtError("--workers", f"must be at least 1, got {args.workers}", "see `sgt fetch --help`")
    # Both log whole addresses, and those of signed downloads contain a key.
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    hub_logging.set_verbosity_error()
    entry = load_download(args.name, args.table)
    folder = args.into / args.name
    with exclusive_fetch(folder):
        lock = Lock(folder)
        if args.adopt:
            adopt(entry, folder, lock)
        elif constants.is_offline_mode():
            check_offline(folder, lock, args.verify)
        else:
            download(entry, folder, lock, args.workers, args.verify)
        if unverified := lock.unverified:
            message = "unverified, as no hash of them is known: %d of %d files, e.g. %s"
            log.warning(message, len(unverified), len(lock.wanted), unverified[0])
        about = entry.model_dump(include={"kind", "repository", "licence"}, exclude_none=True)
        files = {path: lock.files[path].to_json() for path in lock.wanted}
        write_json(folder / FETCHED, {"name": args.name, **about, "revision": lock.revision, "files": files})
