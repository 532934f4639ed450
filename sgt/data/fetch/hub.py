"""Files of a repository on a Hugging Face hub, through ``huggingface_hub`` and ``hf_xet``.

The libraries provide the hub's API, tokens (HF_TOKEN), mirrors (HF_ENDPOINT), the local cache and Xet, the storage of
large files. ``hf_hub_download`` is not used: version 2.4 downloads to a temporary name that no later process finds, so
a fetch killed after 28 of BAGEL's 29 GB would start over. Xet streams a file from any offset, and what a hub does not
keep in Xet is fetched by HTTP (``http.py``), so both resume.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import httpx2
from huggingface_hub import HfApi, constants, get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import build_hf_headers

from sgt.config.downloads import HubDownload
from sgt.data.fetch.content import REMEDY, shown
from sgt.data.fetch.files import Body, CannotResume, RemoteFile, check_patterns, check_revision, checked_path
from sgt.data.fetch.retry import Retry
from sgt.errors import SgtError

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class HubCommit:
    """One commit of a repository.

    Attributes:
        endpoint: address of the hub.
        repository: ``owner/name``.
        kind: ``dataset`` or ``model``.
        sha: of the commit.
    """

    endpoint: str
    repository: str
    kind: str
    sha: str

    def cached(self, path: str) -> Path | None:
        """A file of this commit in the local Hugging Face cache, if it is there."""
        found = try_to_load_from_cache(self.repository, path, revision=self.sha, repo_type=self.kind)
        return Path(found) if isinstance(found, str) else None

    def xet_token_url(self, file: RemoteFile) -> str | None:
        """Where to get a token for a file in Xet storage; None if it is not there, or Xet cannot be used here.

        Raises:
            HfHubHTTPError, httpx2.RequestError: the hub refuses the file, or cannot be reached.
        """
        if not file.xet_hash or constants.HF_HUB_DISABLE_XET or not find_spec("hf_xet"):
            return None
        data = get_hf_file_metadata(file.url, headers=file.headers, endpoint=self.endpoint).xet_file_data
        return data.refresh_route if data else None

    @contextmanager
    def open_xet(self, file: RemoteFile, token_url: str, start: int) -> Iterator[Body]:
        """The content of a file in Xet storage from an offset in bytes.

        Raises:
            CannotResume: the file is not that long.
            OSError, RuntimeError: the storage cannot be reached or refuses; such an error has no ``errno``.
        """
        from hf_xet import XetFileInfo  # huggingface_hub installs it on common platforms only

        if file.size is not None and start > file.size:
            raise CannotResume("the hub has less of it than arrived earlier")
        # The hub exchanges its token for a short-lived one, so HF_TOKEN is not sent to the storage.
        group = self._xet_session.new_download_stream_group(
            token_refresh_url=token_url, token_refresh_headers=file.headers
        )
        stream = group.download_stream(XetFileInfo(file.xet_hash, file.size), start)
        try:
            yield Body(file.url, start, file.size, None, stream)
        finally:
            stream.cancel()

    @cached_property
    def _xet_session(self) -> Any:
        from hf_xet import XetSession

        return XetSession()


def hub_files(entry: HubDownload, locked: str | None) -> tuple[str, list[RemoteFile]]:
    """The commit to fetch and its files that match the entry's patterns.

    Args:
        entry: of the table.
        locked: the commit of earlier fetches, which this one must keep to.

    Raises:
        SgtError: the hub cannot be reached, has no such repository, or names a file that would leave the folder.
    """
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
    check_revision(entry, locked)
    repository, kind, revision = entry.repository, entry.kind, entry.revision or locked
    sha = _call(entry, api.endpoint, lambda: api.repo_info(repository, repo_type=kind, revision=revision).sha)
    if not isinstance(sha, str):
        raise SgtError(f"{shown(api.endpoint)}: {entry.repository}", "the hub names no commit", REMEDY)
    tree = _call(
        entry,
        api.endpoint,
        lambda: list(api.list_repo_tree(repository, recursive=True, repo_type=kind, revision=sha)),
    )
    listed = [each for each in tree if isinstance(each, RepoFile)]
    commit = HubCommit(api.endpoint, entry.repository, entry.kind, sha)
    headers = build_hf_headers()
    wanted = [file for file in listed if any(fnmatchcase(file.path, pattern) for pattern in entry.files)]
    files = [checked_path(_remote_file(entry, commit, file, headers)) for file in wanted]
    check_patterns(entry, f"{entry.repository}@{sha}", [file.path for file in listed], "fix the table's files")
    return sha, files


def _remote_file(entry: HubDownload, commit: HubCommit, file: RepoFile, headers: dict[str, str]) -> RemoteFile:
    digests = {"sha256": file.lfs.sha256} if file.lfs else {"git": file.blob_id}
    pinned = entry.sha256.get(file.path)
    if pinned and (listed := digests.get("sha256", pinned)) != pinned:
        where = f"{commit.repository}@{commit.sha}: {file.path}"
        raise SgtError(where, f"the hub lists sha256 {listed}, the table {pinned}", "find out who changed it")
    if pinned:
        digests["sha256"] = pinned
    url = hf_hub_url(commit.repository, file.path, repo_type=commit.kind, revision=commit.sha, endpoint=commit.endpoint)
    return RemoteFile(file.path, url, file.size, digests, headers, commit, file.xet_hash)


def _call(entry: HubDownload, endpoint: str, request: Callable[[], Answer]) -> Answer:
    """The result of a request to the hub's API, repeated while the hub is busy or unreachable."""
    retry = Retry(entry.repository)
    while True:
        try:
            return request()
        except HfHubHTTPError as error:
            retry.after_status(error.response)
        except (httpx2.TransportError, OSError) as error:
            retry.after(error)
        except (httpx2.TooManyRedirects, ValueError, LookupError, TypeError, AttributeError) as error:
            problem = f"the answer is not that of a hub ({' '.join(str(error).split())[:200]})"
            raise SgtError(f"{shown(endpoint)}: {entry.repository}", problem, REMEDY) from None
