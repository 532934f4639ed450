"""Fetching a dataset or model of ``config/data/downloads.yaml``, at its revision, verified."""

import logging
import os
import shutil
import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

import httpx2

from sgt.atomic import write_json
from sgt.config.downloads import HubDownload, WebDownload, load_download
from sgt.data.fetch import FETCHED
from sgt.data.fetch.adopt import adopt
from sgt.data.fetch.content import check_content, check_type
from sgt.data.fetch.listing import Wanted, list_files
from sgt.data.fetch.lock import Lock, sole_fetch
from sgt.data.fetch.transfer import PARTS, TIMEOUT, Stopped, Transfer, verified
from sgt.errors import SgtError
from sgt.progress import Progress

log = logging.getLogger("sgt")
MEGABYTE = 10**6


def fetch_download(
    name: str, table: Path, into: Path, workers: int, verify: bool = False, by_hand: bool = False
) -> None:
    """Fetch what is missing, verify it, and write ``fetched.json`` last.

    The hub is the one of HF_ENDPOINT, used with HF_TOKEN if it is set; with HF_HUB_OFFLINE=1 there are no requests.

    Args:
        name: an entry of the table.
        table: file of the downloads.
        into: the entry's folder goes in here.
        workers: files at a time.
        verify: hash again what is already there.
        by_hand: make no requests: take what was copied into the folder by hand, and verify it.

    Raises:
        SgtError: a file cannot be had, or is not what it should be.
    """
    # At INFO it logs whole addresses, and those of signed downloads hold a key.
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    entry = load_download(name, table)
    folder = into / name
    with sole_fetch(folder):
        lock = Lock(folder)
        if by_hand:
            adopt(entry, folder, lock)
        elif os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
            check_offline(folder, lock, verify)
        else:
            fetch(entry, folder, lock, workers, verify)
        if unverified := lock.unverified:
            told = "unverified, as no hash of them is known: %d of %d files, e.g. %s"
            log.warning(told, len(unverified), len(lock.wanted), unverified[0])
        about = entry.model_dump(include={"kind", "repository", "licence"}, exclude_none=True)
        files = {path: lock.files[path].told() for path in lock.wanted}
        write_json(folder / FETCHED, {"name": name, **about, "revision": lock.revision, "files": files})


def fetch(entry: HubDownload | WebDownload, folder: Path, lock: Lock, workers: int, verify: bool) -> None:
    """Fetch every file that is not there as the lock has it.

    Raises:
        SgtError: a file cannot be had, or is not what it should be.
    """
    lock.revision, files = list_files(entry, lock.revision)
    lock.wanted = sorted(file.path for file in files)
    lock.save()
    # Redirects are followed, and the token stays with the host it is for.
    with httpx2.Client(follow_redirects=True, timeout=TIMEOUT) as client:
        _fetch_missing(client, [_sized(client, file) for file in files], folder, lock, workers, verify)


def _fetch_missing(
    client: httpx2.Client, files: list[Wanted], folder: Path, lock: Lock, workers: int, verify: bool
) -> None:
    missing = [file for file in files if not _is_there(file, folder, lock, verify)]
    begun = sum(_size_of(folder / PARTS / f"{file.path}.part") for file in missing)
    total = sum(file.size or 0 for file in missing)
    free = shutil.disk_usage(folder).free
    if total - begun > free:
        problem = f"{(total - begun) / 1e9:.1f} GB are missing, {free / 1e9:.1f} GB are free"
        raise SgtError(folder, problem, "make room, or name another folder with --into")
    log.info("%d files, %d to fetch, %.3f GB of %.3f", len(files), len(missing), (total - begun) / 1e9, total / 1e9)
    if not missing:
        return
    progress = Progress("MB", max(1, total // MEGABYTE), begun // MEGABYTE)
    counter = _Counter(progress)
    stop = threading.Event()
    with ThreadPoolExecutor(workers) as pool:
        transfer = Transfer(folder, client, stop, counter.came)
        jobs = [pool.submit(_fetch_one, transfer, file, lock) for file in missing]
        try:
            wait(jobs, return_when=FIRST_EXCEPTION)
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
    errors = [error for job in jobs if not job.cancelled() and (error := job.exception())]
    for error in errors:
        if not isinstance(error, Stopped):
            raise error


def _sized(client: httpx2.Client, file: Wanted) -> Wanted:
    """The file with its size, if the server tells it; the transfer gets by without."""
    if file.size is not None:
        return file
    try:
        response = client.head(file.url, headers={"Accept-Encoding": "identity"})
        check_type(file.path, file.url, response.headers.get("Content-Type", ""))
    except (httpx2.RequestError, SgtError):
        return file
    if response.headers.get("Content-Encoding"):
        return file
    length = response.headers.get("Content-Length", "")
    return replace(file, size=int(length)) if response.is_success and length.isdigit() else file


def check_offline(folder: Path, lock: Lock, verify: bool) -> None:
    """Make do with what is there.

    Raises:
        SgtError: it is not all there.
    """
    if not lock.wanted:
        remedy = "unset it once, or copy the files here and use --adopt"
        raise SgtError(folder, "was never fetched, and HF_HUB_OFFLINE is set", remedy)
    for path in lock.wanted:
        known = lock.files.get(path)
        if not known or not _is_there(Wanted(path, str(folder / path), known.size, {}, {}), folder, lock, verify):
            raise SgtError(folder / path, "is missing, and HF_HUB_OFFLINE is set", "unset it once")


def _is_there(file: Wanted, folder: Path, lock: Lock, verify: bool) -> bool:
    """Whether a file is there as it was when it came; one that is not in the lock, or unverified, is hashed again."""
    path = folder / file.path
    if not path.is_file():
        return False
    known = lock.files.get(file.path)
    if known is None or verify or (known.unverified and (file.digests or file.size not in (None, known.size))):
        lock.add(file.path, path.stat().st_size, verified(file, path), unverified=not file.digests)
        return True
    check_content(file.path, str(path), path, "remove it, and its entry in lock.json, to fetch it again")
    # The lock holds what was verified; a digest that the table or hub names now must still be that one.
    if file.digests.get("sha256", known.sha256) != known.sha256:
        problem = f"has sha256 {known.sha256}, now {file.digests['sha256']} is wanted"
        raise SgtError(path, problem, "find out who changed it; move the folder away to fetch the other one")
    return path.stat().st_size == known.size


def _fetch_one(transfer: Transfer, file: Wanted, lock: Lock) -> None:
    known = lock.files.get(file.path)
    if known and "sha256" not in file.digests:
        file = replace(file, digests={**file.digests, "sha256": known.sha256})
    digest = transfer.fetch(file)
    lock.add(file.path, (transfer.folder / file.path).stat().st_size, digest)


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


class _Counter:
    """Bytes from several threads as megabytes of progress."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._bytes, self._lock = progress, 0, threading.Lock()

    def came(self, count: int) -> None:
        """Count bytes."""
        with self._lock:
            self._bytes += count
            whole, self._bytes = divmod(self._bytes, MEGABYTE)
            if whole:
                self._progress.add(whole)
