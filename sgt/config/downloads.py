"""``config/data/downloads.yaml``: what ``sgt fetch`` can fetch, from where, at which revision."""

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, RootModel

from sgt.config.fields import Name, Strict
from sgt.config.files import read_yaml
from sgt.errors import SgtError

DOWNLOADS_FILE = Path("config/data/downloads.yaml")
# The record that `sgt fetch` leaves in a folder, written last.
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class HubDownload(Strict):
    """Files of a repository on a hub that speaks Hugging Face's protocol."""

    host: Literal["hub"]
    kind: Literal["dataset", "model"] = Field(description="what it is")
    repository: str = Field(pattern=r"^[\w.-]+/[\w.-]+$", description="OWNER/NAME on the hub")
    revision: str | None = Field(
        None, description="commit; without it the one found first is recorded in lock.json and kept to from then on"
    )
    files: Annotated[list[str], Field(min_length=1)] = Field(["*"], description="patterns of paths, * crosses folders")
    sha256: dict[str, Digest] = Field({}, description="of files, by path, to check besides what the hub says")
    licence: str = Field(description="under which it is published")
    gigabytes: float | None = Field(None, gt=0, description="about how much it is")


class WebFile(Strict):
    """One file at an address."""

    url: str = Field(pattern=r"^https?://", description="address")
    sha256: Digest | None = Field(None, description="without it the first one fetched is recorded and kept to")
    md5: str | None = Field(None, pattern=r"^[0-9a-f]{32}$", description="checked besides, where others publish it")
    size: int | None = Field(None, ge=1, description="bytes")

    @property
    def path(self) -> str:
        """The last part of the address, without a query."""
        return urlsplit(self.url).path.rsplit("/", 1)[-1]


class WebDownload(Strict):
    """Files at addresses."""

    host: Literal["web"]
    kind: Literal["dataset", "model"] = Field(description="what it is")
    files: Annotated[list[WebFile], Field(min_length=1)] = Field(description="each at its own address")
    licence: str = Field(description="under which it is published")
    gigabytes: float | None = Field(None, gt=0, description="about how much it is")


Download = Annotated[HubDownload | WebDownload, Field(discriminator="host")]


class Downloads(RootModel[dict[Name, Download]]):
    """Every entry by name."""


def load_download(name: str, table: Path = DOWNLOADS_FILE) -> HubDownload | WebDownload:
    """One entry of the table.

    Raises:
        SgtError: the table is not valid, or has no such entry.
    """
    entries = read_yaml(table, Downloads).root
    if name not in entries:
        raise SgtError(table, f"nothing is called {name!r}", f"use one of {', '.join(entries)}")
    return entries[name]
