"""``lock.json``: what was fetched the first time, and must be the same ever after.

``fetched.json`` is written last, when all files are there; ``lock.json`` stays when that is removed to fetch again.
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
from sgt.data.fetch import FETCHED, LOCK
from sgt.data.fetch.transfer import PARTS
from sgt.errors import SgtError


class LockedFile(Strict):
    """A file as it was when it first came; unverified is one that was copied here, and of which no hash is known."""

    size: int = Field(ge=0)
    sha256: Digest
    unverified: bool = False

    def told(self) -> dict:
        """As it is written."""
        return self.model_dump(exclude_defaults=True)


class Lock:
    """The record of one folder.

    Raises:
        SgtError: there is one, and it is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK
        self.revision: str | None = None
        # Every file that makes up the download, as it was listed last, whether it is here yet or not.
        self.wanted: list[str] = []
        self.files: dict[str, LockedFile] = {}
        self._one_at_a_time = threading.Lock()
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
        """The files that make up the download and that no hash vouches for."""
        return [path for path in self.wanted if path in self.files and self.files[path].unverified]

    def add(self, path: str, size: int, sha256: str, unverified: bool = False) -> None:
        """Record a file, or hold it against the record; what was verified once stays so.

        Raises:
            SgtError: another file of this name was fetched before.
        """
        with self._one_at_a_time:
            before = self.files.get(path)
            if before and before.sha256 != sha256:
                problem = f"{path} has sha256 {sha256}, when it was first fetched it had {before.sha256}"
                raise SgtError(self.path, problem, "find out who changed it; remove it from the lock to trust it")
            unverified = unverified and (before is None or before.unverified)
            self.files[path] = LockedFile(size=size, sha256=sha256, unverified=unverified)
            self.save()

    def save(self) -> None:
        """Write it."""
        files = {path: file.told() for path, file in sorted(self.files.items())}
        write_json(self.path, {"revision": self.revision, "wanted": self.wanted, "files": files})


@contextmanager
def sole_fetch(folder: Path) -> Iterator[None]:
    """Keep other processes from fetching into the same folder meanwhile.

    Raises:
        SgtError: one is.
    """
    (folder / PARTS).mkdir(parents=True, exist_ok=True)
    with open(folder / PARTS / "running", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SgtError(folder, "another `sgt fetch` is at work here", "wait for it, or end it") from None
        yield


def read_fetched(folder: Path, name: str) -> dict:
    """What ``fetched.json`` says: ``revision``, ``licence``, and of all ``files`` the size and hash.

    Args:
        folder: of the download.
        name: what ``sgt fetch`` calls it.

    Raises:
        SgtError: it was not fetched to the end, or the record is damaged.
    """
    path = folder / FETCHED
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        files = {name: LockedFile.model_validate(file).told() for name, file in record["files"].items()}
        return {"revision": record["revision"], "licence": record["licence"], "files": files}
    except FileNotFoundError:
        raise SgtError(path, "was not fetched, or not to the end", f"run `sgt fetch {name}`") from None
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise SgtError(path, f"damaged ({' '.join(str(error).split())})", f"run `sgt fetch {name}` again") from None
