"""The base weights that ``data.dvc`` names, by content and one model at a time.

Files come from DVC's cache or its remote (``store/``), each checked against its MD5. Git is not needed, so the archive
of a release runs as a clone does. ``dvc pull`` would need git, and would fetch every model.
"""

import hashlib
import io
import json
import logging
from errno import EDQUOT, ENOSPC
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import yaml
from dvc.exceptions import DvcException, NotDvcRepoError
from dvc.fs import LocalFileSystem
from dvc.repo import Repo
from dvc_data.hashfile.db import HashFileDB

from sgt.atomic import atomic_path
from sgt.errors import SgtError

DATA = Path("data.dvc")
RESTORE = "restore it from the clone or the archive"
BLOCK = 2**20
NO_ROOM = (ENOSPC, EDQUOT)

log = logging.getLogger(__name__)


def versioned_files(data: Path = DATA) -> dict[Path, str]:
    """Every file that ``data.dvc`` names, with its MD5; empty if there is no ``data.dvc``.

    Raises:
        SgtError: ``data.dvc`` or the list of files that it names is missing, damaged, or leads elsewhere.
    """
    files: dict[Path, str] = {}
    for out in _outs(data):
        path = PurePosixPath(out["path"])
        if out["md5"].endswith(".dir"):
            listed = {path / relative: md5 for relative, md5 in _folder(out["md5"], data).items()}
        else:
            listed = {path: out["md5"]}
        for name, md5 in listed.items():
            if name.is_absolute() or ".." in name.parts:
                raise SgtError(data, f"names a file outside its folder ({name})", RESTORE)
            files[data.parent / name] = md5
    return files


def model_files(checkpoint: Path | str, data: Path = DATA) -> dict[Path, str]:
    """Those of :func:`versioned_files` that lie in a model's folder."""
    return {path: md5 for path, md5 in versioned_files(data).items() if path.is_relative_to(checkpoint)}


def stale_files(checkpoint: Path | str, data: Path = DATA) -> dict[Path, str]:
    """Those of :func:`model_files` that are not there, or have another content than the MD5 says."""
    wanted = model_files(checkpoint, data)
    return {path: md5 for path, md5 in wanted.items() if not path.is_file() or md5_of(path) != md5}


def fetch_base(checkpoint: Path | str, data: Path = DATA) -> list[Path]:
    """Put every stale file of a model in its place, whole or not at all; returns those that it wrote.

    Raises:
        SgtError: an object is missing or damaged, wherever it is kept.
    """
    stale = stale_files(checkpoint, data)
    for path, md5 in stale.items():
        if path.exists():
            log.info("%s: its content is not the one that %s names: replaced", path, data)
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            _copy(md5, file, data)
    if stale:
        _keep_in_cache(stale, data)
    return list(stale)


def md5_of(path: Path) -> str:
    """Hex MD5 of a file, which is DVC's name for its content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _outs(data: Path) -> list[dict[str, Any]]:
    try:
        outs = yaml.safe_load(data.read_text(encoding="utf-8"))["outs"]
        if not all(isinstance(out[key], str) for out in outs for key in ("path", "md5")):
            raise TypeError("path and md5 are text")
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        problem = f"not a file that `dvc add` wrote ({' '.join(str(error).split())})"
        raise SgtError(data, problem, "restore it from the repository") from None
    return outs


def _folder(md5: str, data: Path) -> dict[str, str]:
    """A folder's files, relative to it, with their MD5s."""
    listed = io.BytesIO()
    store = _copy(md5, listed, data)
    if not isinstance(store.fs, LocalFileSystem):
        # Every start of the workflow asks, on machines without a way out, too.
        _repository().cache.local.add_bytes(md5, listed.getvalue())
    try:
        return {file["relpath"]: file["md5"] for file in json.loads(listed.getvalue())}
    except (ValueError, KeyError, TypeError):
        raise SgtError(data, f"{md5} is not a list of files", RESTORE) from None


def _keep_in_cache(files: dict[Path, str], data: Path) -> None:
    """As `dvc pull` does, so that DVC, too, finds everything that ``data.dvc`` names in its place."""
    cache = _repository().cache.local
    for path, md5 in files.items():
        cache.add(str(path.absolute()), LocalFileSystem(), md5)
    for folder in (out["md5"] for out in _outs(data) if out["md5"].endswith(".dir")):
        listed = io.BytesIO()
        _copy(folder, listed, data)
        cache.add_bytes(folder, listed.getvalue())


def _copy(md5: str, to: BinaryIO, data: Path) -> HashFileDB:
    """Write an object, from the first store that has it whole; returns that store.

    Raises:
        SgtError: none has.
    """
    repo, found = _repository(), []
    # The default remote first.
    remotes = dict.fromkeys([repo.config["core"].get("remote"), *repo.config["remote"]])
    for name in (None, *filter(None, remotes)):
        try:
            store = _store(repo, name)
            _copy_from(store, md5, to)
        except FileNotFoundError:
            continue
        # What a remote's own library raises is not known here.
        except Exception as error:
            if isinstance(error, OSError) and error.errno in NO_ROOM:
                raise
            found.append(f"{name or 'cache'}: {error}")
        else:
            return store
    problem = "; ".join(found) or "neither in DVC's cache nor in its remotes"
    raise SgtError(data, f"cannot get {md5}, which it names: {' '.join(problem.split())}", RESTORE)


def _copy_from(store: HashFileDB, md5: str, to: BinaryIO) -> None:
    to.seek(0)
    to.truncate()
    digest = hashlib.md5(usedforsecurity=False)
    path = store.oid_to_path(md5)
    with store.fs.open(path, "rb") as source:
        while block := source.read(BLOCK):
            digest.update(block)
            to.write(block)
    if digest.hexdigest() != md5.removesuffix(".dir"):
        raise ValueError(f"{path} is damaged, its MD5 is {digest.hexdigest()}")


def _store(repo: Repo, remote: str | None) -> HashFileDB:
    """Where DVC keeps objects: a remote, or its cache."""
    return repo.cloud.get_remote_odb(name=remote) if remote else repo.cache.local


def _repository() -> Repo:
    """DVC's, with or without git.

    Raises:
        SgtError: this is none.
    """
    try:
        return Repo(config={"core": {"no_scm": True}})
    except NotDvcRepoError:
        raise SgtError(".dvc", "no such folder", "copy or unpack the project with its hidden folders") from None
    except DvcException as error:
        raise SgtError(".dvc/config", f"DVC cannot use it ({' '.join(str(error).split())})", "fix it") from None
