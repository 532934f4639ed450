"""Uploading an exported run to a model hub with ``huggingface_hub``, in one commit.

The library reads the token where it always does (``HF_TOKEN``, or what ``hf auth login`` stored) and the address of the
hub from ``HF_ENDPOINT``. What is uploaded is what ``release.json`` lists, verified first, and the card, which may have
been edited.
"""

import json
import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx2
from huggingface_hub import CommitOperationAdd, HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.utils import validate_repo_id

from sgt.atomic import sha256
from sgt.data.fetch.retry import BUSY, Retry
from sgt.errors import SgtError
from sgt.identity import read_record
from sgt.reporting.export.layout import CARD, NOT_ADMINISTERED, RELEASE

log = logging.getLogger("sgt")
Answer = TypeVar("Answer")
# Of an address. Large files are sent to signed ones, whose query lets whoever reads it do the same.
_QUERY = re.compile(r"\?\S+")
_REMEDIES = {
    400: "correct the card, or what else it names",
    401: "log in with `hf auth login`, or set HF_TOKEN to a token that may write",
    403: "use a token that may write to this repository",
    404: "check OWNER/NAME and HF_ENDPOINT",
    413: "check the limits of the hub",
}


@dataclass(frozen=True)
class Release:
    """An exported run.

    Attributes:
        folder: that it lies in.
        name: of the model.
        status: see :func:`sgt.reporting.export.status.status_of`.
        files: paths in the folder of everything that is uploaded, the card first.
    """

    folder: Path
    name: str
    status: str
    files: list[str]

    def lines(self) -> list[str]:
        """Every file with its size in bytes, and their sum."""
        sizes = {name: (self.folder / name).stat().st_size for name in self.files}
        listed = [f"{size:>15,}  {name}" for name, size in sizes.items()]
        return [*listed, f"{sum(sizes.values()):>15,}  bytes in {len(sizes)} files"]


def read_release(folder: Path) -> Release:
    """An exported run, each of its files verified.

    Raises:
        SgtError: the folder was not exported, or a file but the card is not as it was exported.
    """
    try:
        record = read_record(folder / RELEASE)
    except FileNotFoundError:
        raise SgtError(folder, f"has no {RELEASE}", "export a run with `sgt export`") from None
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    for name, digest in record["files"].items():
        if name not in there or sha256(folder / name) != digest:
            raise SgtError(folder / name, "is not as it was exported", f"export it again; only {CARD} may be edited")
    if CARD not in there:
        raise SgtError(folder / CARD, "no such file", "export the run again")
    files = [CARD, RELEASE, *record["files"]]
    for name in sorted(there - set(files)):
        log.warning("%s: not exported, so it is not uploaded", folder / name)
    return Release(folder, record["name"], record["status"], files)


def publish(release: Release, repository: str, private: bool = False) -> str:
    """Upload a release, creating the repository if it is not there; returns the address of the commit.

    The repository changes in one commit, or not at all. Files that it had before and the release has not are left.

    Args:
        release: what to upload.
        repository: OWNER/NAME.
        private: of a repository that is created.

    Raises:
        SgtError: there is no token, or the hub refuses or cannot be reached.
    """
    for name in ("httpx2", "huggingface_hub.utils._http"):
        logging.getLogger(name).addFilter(_without_queries)
    if get_token() is None:
        raise SgtError(repository, "there is no token for the hub", _REMEDIES[401])
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
    _call(repository, lambda: api.create_repo(repository, private=private, exist_ok=True))
    # To repeat a commit that was made, and whose answer was lost, changes nothing: equal files are left out of it.
    commit = _call(
        repository,
        lambda: api.create_commit(repository, _additions(release), commit_message=f"Upload {release.name}"),
    )
    return commit.commit_url


def check_repository(repository: str) -> None:
    """See that a name is one of a repository.

    Raises:
        SgtError: it is not.
    """
    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise SgtError("--to", " ".join(str(error).split()), "name a repository of the hub") from None
    if "/" not in repository:
        raise SgtError("--to", f"{repository!r} has no owner", "write OWNER/NAME")


def warnings_of(release: Release) -> list[str]:
    """What somebody should know before this is uploaded."""
    if release.status == NOT_ADMINISTERED:
        return ["this run did not learn its proxy, as its card says"]
    return []


def _without_queries(record: logging.LogRecord) -> bool:
    """Take the queries out of the addresses in a log record; it is logged all the same."""
    record.msg, record.args = _QUERY.sub("", record.getMessage()), ()
    return True


def _additions(release: Release) -> list[CommitOperationAdd]:
    return [CommitOperationAdd(name, release.folder / name) for name in release.files]


def _call(repository: str, request: Callable[[], Answer]) -> Answer:
    """The result of a request, repeated while the hub is busy or cannot be reached."""
    retry = Retry(repository)
    while True:
        try:
            return request()
        except (HfHubHTTPError, httpx2.TransportError, OSError, RuntimeError, ValueError) as error:
            # Uploads of LFS objects run in threads, whose errors come wrapped.
            in_thread = isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception)
            _wait_or_refuse(retry, error.__cause__ if in_thread else error)


def _wait_or_refuse(retry: Retry, error: BaseException | None) -> None:
    """Wait after a failure that may pass.

    Raises:
        SgtError: it does not pass, or there were too many.
    """
    text = _QUERY.sub("", " ".join(str(error).split()))
    status = None
    if isinstance(error, HfHubHTTPError):
        status, text = error.response.status_code, " ".join((error.server_message or "").split())
    elif found := re.search(r"client error \((\d+)", text):
        # Of Xet's storage, whose library gives the answer as text.
        status = int(found[1])
    if status is not None and status not in BUSY:
        problem = f"the hub answered {status}{f': {text}' if text else ''}"
        raise SgtError(retry.where, problem, _REMEDIES.get(status, "see what it says"))
    if isinstance(error, HfHubHTTPError):
        retry.after_status(error.response)
    elif isinstance(error, (httpx2.TransportError, OSError)):
        retry.after(error)
    elif isinstance(error, json.JSONDecodeError):
        raise SgtError(retry.where, "the answer is not that of a hub", _REMEDIES[404])
    else:
        raise SgtError(retry.where, f"it was not uploaded ({text})", "correct what it names, and run the command again")
