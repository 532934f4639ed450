"""Fetching a dataset or model of ``config/data/downloads.yaml``, at a fixed revision, verified."""

import logging
from pathlib import Path

from huggingface_hub import constants
from huggingface_hub.utils import logging as hub_logging

from sgt.atomic import write_json
from sgt.config.downloads import load_download
from sgt.data.fetch import FETCHED
from sgt.data.fetch.adopt import adopt
from sgt.data.fetch.download import check_offline, download
from sgt.data.fetch.lock import Lock, exclusive_fetch

log = logging.getLogger("sgt")


def fetch_download(
    name: str, table: Path, into: Path, workers: int, verify: bool = False, by_hand: bool = False
) -> None:
    """Fetch what is missing, verify it, and write ``fetched.json`` last.

    The hub is that of HF_ENDPOINT; HF_TOKEN is sent to it if set. With HF_HUB_OFFLINE=1 no server is contacted.

    Args:
        name: an entry of the table.
        table: file of the downloads.
        into: parent of the entry's folder.
        workers: files fetched at a time.
        verify: hash the files that are already there again.
        by_hand: verify files that were copied into the folder by hand, without any request.

    Raises:
        SgtError: a file cannot be fetched, or is not what it should be.
    """
    # Both log whole addresses, and those of signed downloads contain a key.
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    hub_logging.set_verbosity_error()
    entry = load_download(name, table)
    folder = into / name
    with exclusive_fetch(folder):
        lock = Lock(folder)
        if by_hand:
            adopt(entry, folder, lock)
        elif constants.is_offline_mode():
            check_offline(entry, folder, lock, verify)
        else:
            download(entry, folder, lock, workers, verify)
        if unverified := lock.unverified:
            message = "unverified, as no hash of them is known: %d of %d files, e.g. %s"
            log.warning(message, len(unverified), len(lock.wanted), unverified[0])
        about = entry.model_dump(include={"kind", "repository", "licence"}, exclude_none=True)
        files = {path: lock.files[path].to_json() for path in lock.wanted}
        write_json(folder / FETCHED, {"name": name, **about, "revision": lock.revision, "files": files})
