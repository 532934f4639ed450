"""Fetching all files of a download that are not there yet."""

import logging
import shutil
import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

import httpx2

from sgt.config.downloads import HubDownload, WebDownload
from sgt.data.fetch.content import check_content
from sgt.data.fetch.files import RemoteFile, check_patterns, check_revision, web_files
from sgt.data.fetch.http import new_client, with_size
from sgt.data.fetch.hub import hub_files
from sgt.data.fetch.lock import Lock
from sgt.data.fetch.transfer import Stopped, Transfer, part_path
from sgt.data.fetch.verify import verify_file
from sgt.errors import SgtError
from sgt.progress import Progress

log = logging.getLogger("sgt")
MEGABYTE = 10**6


def download(entry: HubDownload | WebDownload, folder: Path, lock: Lock, workers: int, verify: bool) -> None:
    """Fetch every file that is not there as ``lock.json`` has it.

    Args:
        entry: of the table.
        folder: of the download.
        lock: its ``lock.json``, which is updated with every file.
        workers: how many files are fetched at a time.
        verify: whether to hash again the files that are already there.

    Raises:
        SgtError: a file cannot be fetched, or is not what it should be.
    """
    if isinstance(entry, WebDownload):
        files = web_files(entry)
    else:
        lock.revision, files = hub_files(entry, lock.revision)
    lock.wanted = sorted(file.path for file in files)
    lock.save()
    try:
        _download_missing(files, folder, lock, workers, verify)
    finally:
        lock.save()


def _download_missing(files: list[RemoteFile], folder: Path, lock: Lock, workers: int, verify: bool) -> None:
    with new_client() as client:
        files = [with_size(client, file) for file in files]
        missing = [file for file in files if not _is_there(file, folder, lock, verify)]
        arrived = sum(_size_of(part_path(folder, file.path)) for file in missing)
        total = sum(file.size or 0 for file in missing)
        _check_space(folder, total - arrived)
        log.info(
            "%d files, %d to fetch, %.3f GB of %.3f", len(files), len(missing), (total - arrived) / 1e9, total / 1e9
        )
        if missing:
            counter = _Counter(Progress("MB", max(1, total // MEGABYTE), arrived // MEGABYTE))
            _fetch_all(client, missing, folder, lock, workers, counter)


def check_offline(entry: HubDownload | WebDownload, folder: Path, lock: Lock, verify: bool) -> None:
    """Check that all files of the table as it is now are there, as far as they are known without a server.

    Raises:
        SgtError: a file is missing, damaged or not as the table says.
    """
    remedy = "unset it once, or copy the files here and use --adopt"
    if not lock.wanted:
        raise SgtError(folder, "was never fetched, and HF_HUB_OFFLINE is set", remedy)
    if isinstance(entry, HubDownload):
        check_revision(entry, lock.revision)
        check_patterns(entry, folder, lock.wanted, f"HF_HUB_OFFLINE is set: {remedy}")
        digests = {path: {"sha256": digest} for path, digest in entry.sha256.items()}
    else:
        digests = {file.path: file.digests for file in web_files(entry)}
        if unknown := sorted(set(digests) - set(lock.wanted)):
            raise SgtError(folder / unknown[0], "was never fetched, and HF_HUB_OFFLINE is set", remedy)
    for path in lock.wanted:
        known = lock.files.get(path)
        file = RemoteFile(path, str(folder / path), known.size if known else None, digests.get(path, {}))
        if not known or not _is_there(file, folder, lock, verify):
            raise SgtError(folder / path, "is missing, and HF_HUB_OFFLINE is set", "unset it once")


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        problem = f"{needed / 1e9:.1f} GB are missing, {free / 1e9:.1f} GB are free"
        raise SgtError(folder, problem, "make room, or choose another folder with --into")


def _fetch_all(
    client: httpx2.Client, files: list[RemoteFile], folder: Path, lock: Lock, workers: int, counter: "_Counter"
) -> None:
    stop = threading.Event()
    transfer = Transfer(folder, client, stop, counter.add)
    with ThreadPoolExecutor(workers) as pool:
        jobs = [pool.submit(_fetch_one, transfer, file, lock) for file in files]
        try:
            wait(jobs, return_when=FIRST_EXCEPTION)
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
    errors = [error for job in jobs if not job.cancelled() and (error := job.exception())]
    for error in errors:
        if not isinstance(error, Stopped):
            raise error


def _fetch_one(transfer: Transfer, file: RemoteFile, lock: Lock) -> None:
    known = lock.files.get(file.path)
    if known and "sha256" not in file.digests:
        file = replace(file, digests={**file.digests, "sha256": known.sha256})
    digest = transfer.fetch(file)
    lock.add(file.path, (transfer.folder / file.path).stat().st_size, digest)


def _is_there(file: RemoteFile, folder: Path, lock: Lock, verify: bool) -> bool:
    """Whether a file is there as recorded; one that is not recorded, or is unverified, is hashed and recorded."""
    path = folder / file.path
    if not path.is_file():
        return False
    known = lock.files.get(file.path)
    if known is None or verify or (known.unverified and (file.digests or file.size not in (None, known.size))):
        lock.add(file.path, path.stat().st_size, verify_file(file, path), unverified=not file.digests)
        return True
    check_content(file.path, str(path), path, "remove it, and its entry in lock.json, to fetch it again")
    # What is recorded was verified; a digest that the table or the hub lists now must still be the same.
    if file.digests.get("sha256", known.sha256) != known.sha256:
        problem = f"has sha256 {known.sha256}, expected {file.digests['sha256']} now"
        raise SgtError(path, problem, "find out who changed it; move the folder away to fetch the other one")
    return path.stat().st_size == known.size


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


class _Counter:
    """Turns bytes that arrive in several threads into megabytes of progress."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._bytes, self._mutex = progress, 0, threading.Lock()

    def add(self, count: int) -> None:
        """Count bytes."""
        with self._mutex:
            self._bytes += count
            whole, self._bytes = divmod(self._bytes, MEGABYTE)
            if whole:
                self._progress.add(whole)
