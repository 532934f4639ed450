"""Which files make up a download: asked of the hub, or read from the table."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import TypeVar

import httpx2
from huggingface_hub import HfApi, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import build_hf_headers

from sgt.config.downloads import HubDownload, WebDownload, WebFile
from sgt.data.fetch.content import REMEDY, shown
from sgt.data.fetch.retry import Retry
from sgt.errors import SgtError

Answer = TypeVar("Answer")
# What is ours in the folder of a download.
OURS = (".fetch", "lock.json", "fetched.json")


@dataclass(frozen=True)
class Wanted:
    """One file to fetch.

    Attributes:
        path: where it goes, below the folder of the download.
        url: where it is.
        size: in bytes, if it is known.
        digests: what it must hash to, by algorithm: ``sha256``, ``md5``, or ``git`` (SHA-1 of a git blob).
        headers: to send to this address.
    """

    path: str
    url: str
    size: int | None
    digests: dict[str, str]
    headers: dict[str, str]


def list_files(entry: HubDownload | WebDownload, revision: str | None) -> tuple[str | None, list[Wanted]]:
    """The revision that is fetched, and its files.

    Args:
        entry: of the table.
        revision: to keep to, if one was fetched before.

    Raises:
        SgtError: the hub cannot be asked, knows no such thing, or names a file that would leave the folder.
    """
    if isinstance(entry, WebDownload):
        return None, web_files(entry)
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
    if entry.revision and revision and entry.revision != revision:
        problem = f"lock.json has revision {revision}, the table {entry.revision}"
        raise SgtError(entry.repository, problem, "move the folder away to fetch the other one")
    revision = entry.revision or revision
    revision = _asked(
        entry,
        api.endpoint,
        lambda: api.repo_info(entry.repository, repo_type=entry.kind, revision=revision).sha,
    )
    if not isinstance(revision, str):
        raise SgtError(f"{shown(api.endpoint)}: {entry.repository}", "the hub names no commit", REMEDY)
    tree = _asked(
        entry,
        api.endpoint,
        lambda: list(api.list_repo_tree(entry.repository, recursive=True, revision=revision, repo_type=entry.kind)),
    )
    files = [_checked(each) for each in _of_hub(entry, api.endpoint, revision, tree)]
    paths = [each.path for each in tree if isinstance(each, RepoFile)]
    check_patterns(entry, f"{entry.repository}@{revision}", paths, "mend the table's files")
    return revision, files


def web_files(entry: WebDownload) -> list[Wanted]:
    """The files of a table's entry.

    Raises:
        SgtError: one has no name, or the name of another.
    """
    files = [_checked(_of_web(file)) for file in entry.files]
    paths = [file.path for file in files]
    if twice := next((path for path in paths if paths.count(path) > 1), None):
        raise SgtError(twice, "two addresses of the table end in this name", "mend the table's files")
    return files


def check_patterns(entry: HubDownload, where: object, paths: list[str], remedy: str) -> None:
    """See that each pattern of an entry matches something, and that each file is there of which it has a hash.

    Raises:
        SgtError: one does not, or is not.
    """
    for pattern in entry.files:
        if not any(fnmatchcase(path, pattern) for path in paths):
            there = f"{len(paths)} files are there, e.g. {paths[0]!r}" if paths else "nothing is there"
            raise SgtError(where, f"no file matches {pattern!r} ({there})", remedy)
    for path in entry.sha256:
        if path not in paths:
            raise SgtError(where, f"there is no {path!r}, of which the table has a sha256", remedy)


def _of_web(file: WebFile) -> Wanted:
    digests = {name: value for name in ("sha256", "md5") if (value := getattr(file, name))}
    return Wanted(file.path, file.url, file.size, digests, {})


def _of_hub(entry: HubDownload, endpoint: str, revision: str, tree: Iterable) -> Iterable[Wanted]:
    headers = build_hf_headers()
    for file in tree:
        if not isinstance(file, RepoFile) or not any(fnmatchcase(file.path, pattern) for pattern in entry.files):
            continue
        digests = {"sha256": file.lfs.sha256} if file.lfs else {"git": file.blob_id}
        ours = entry.sha256.get(file.path)
        if ours and digests.get("sha256", ours) != ours:
            where = f"{entry.repository}@{revision}: {file.path}"
            raise SgtError(where, f"the hub says sha256 {file.lfs.sha256}, the table {ours}", "ask who changed it")
        if ours:
            digests["sha256"] = ours
        url = hf_hub_url(entry.repository, file.path, repo_type=entry.kind, revision=revision, endpoint=endpoint)
        yield Wanted(file.path, url, file.size, digests, headers)


def _checked(file: Wanted) -> Wanted:
    """Refuse a path that is not plainly below the folder, whoever named it."""
    parts = file.path.split("/")
    plain = all(part not in ("", ".", "..") and part.isprintable() and len(part) < 200 for part in parts)
    if not plain or "\\" in file.path or PurePosixPath(file.path).is_absolute() or parts[0] in OURS:
        raise SgtError(
            shown(file.url), f"{file.path!r} is no name for a file in the folder", "do not trust this source"
        )
    return file


def _asked(entry: HubDownload, endpoint: str, question: Callable[[], Answer]) -> Answer:
    """What the hub answers, asked again while it is busy or away."""
    retry = Retry(entry.repository)
    while True:
        try:
            return question()
        except HfHubHTTPError as error:
            retry.after_status(error.response)
        except (httpx2.TransportError, OSError) as error:
            retry.after(error)
        except (httpx2.TooManyRedirects, ValueError, LookupError, TypeError, AttributeError) as error:
            problem = f"what answers is no hub ({' '.join(str(error).split())[:200]})"
            raise SgtError(f"{shown(endpoint)}: {entry.repository}", problem, REMEDY) from None
