"""``lock.json``, which records what was fetched first, and the lock that keeps two fetches of one folder apart.

``lock.json`` stays when ``fetched.json``, written last, is removed to fetch again.
"""

import fcntl
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import Field, ValidationError

from sgt.atomic import write_json
from sgt.config.downloads import Digest
from sgt.config.fields import Strict
from sgt.data.fetch import FETCHED, LOCK, PARTS
from sgt.errors import SgtError


class LockedFile(Strict):
    """A file as it was when it first arrived.

    Attributes:
        size: in bytes.
        sha256: in hex.
        unverified: whether the file was copied here by hand and no hash of it is known.
    """

    size: int = Field(ge=0)
    sha256: Digest
    unverified: bool = False

    def to_json(self) -> dict:
        """The entry as it is written."""
        return self.model_dump(exclude_defaults=True)


class Lock:
    """The content of a folder's ``lock.json``.

    Attributes:
        revision: the commit that was fetched from a hub.
        wanted: paths of all files of the download as last listed, whether or not they are here yet.
        files: the files that arrived, by path.

    Raises:
        SgtError: the file is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK
        self.revision: str | None = None
        self.wanted: list[str] = []
        self.files: dict[str, LockedFile] = {}
        self._mutex = threading.Lock()
        self._unsaved = 0
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            self.revision, self.wanted = content["revision"], [str(path) for path in content["wanted"]]
            self.files = {path: LockedFile.model_validate(file) for path, file in content["files"].items()}
        except FileNotFoundError:
            pass
        except (ValueError, KeyError, AttributeError, TypeError, ValidationError) as error:
            problem = f"damaged ({' '.join(str(error).split())})"
            raise SgtError(self.path, problem, "remove it to trust what is fetched next") from None

    @property
    def unverified(self) -> list[str]:
        """Paths of the download's files of which no hash is known."""
        return [path for path in self.wanted if path in self.files and self.files[path].unverified]

    def add(self, path: str, size: int, sha256: str, unverified: bool = False) -> None:
        """Record a file, or compare it with its record; a file that was verified once stays so.

        The record of a hundredth of the files may only be in memory, so that the time of a download with very many does
        not grow with their square. Those of which it is lost are hashed again.

        Raises:
            SgtError: a file with this path and another content was fetched before.
        """
        with self._mutex:
            before = self.files.get(path)
            if before and before.sha256 != sha256:
                problem = f"{path} has sha256 {sha256}, but {before.sha256} when it was first fetched"
                raise SgtError(self.path, problem, "find out who changed it; remove it from the lock to trust it")
            unverified = unverified and (before is None or before.unverified)
            self.files[path] = LockedFile(size=size, sha256=sha256, unverified=unverified)
            self._unsaved += 1
            if self._unsaved > len(self.files) // 100:
                self.save()

    def save(self) -> None:
        """Write the file."""
        self._unsaved = 0
        files = {path: file.to_json() for path, file in sorted(self.files.items())}
        write_json(self.path, {"revision": self.revision, "wanted": self.wanted, "files": files})


@contextmanager
def exclusive_fetch(folder: Path) -> Iterator[None]:
    """Keep other processes from fetching into a folder for as long as the block runs.

    Raises:
        SgtError: another process is fetching into it.
    """
    (folder / PARTS).mkdir(parents=True, exist_ok=True)
    with open(folder / PARTS / "running", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SgtError(folder, "another `sgt fetch` is running here", "wait for it, or end it") from None
        yield


def read_fetched(folder: Path, name: str) -> dict:
    """The content of ``fetched.json``: ``revision``, ``licence``, and size and hash of all ``files``.

    Args:
        folder: of the download.
        name: of the download, as in ``sgt fetch NAME``.

    Raises:
        SgtError: the download is not complete, or the record is damaged.
    """
    path = folder / FETCHED
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        files = {name: LockedFile.model_validate(file).to_json() for name, file in record["files"].items()}
        return {"revision": record["revision"], "licence": record["licence"], "files": files}
    except FileNotFoundError:
        raise SgtError(path, "was not fetched, or not completely", f"run `sgt fetch {name}`") from None
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise SgtError(path, f"damaged ({' '.join(str(error).split())})", f"run `sgt fetch {name}` again") from None
