"""Pictures in files of their own and in folders, read as samples that have an image and nothing else."""

import hashlib
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sgt.data.names import escaped, is_hidden
from sgt.data.shards import IMAGE_SUFFIXES, MAX_MEMBER_BYTES, Sample
from sgt.errors import SgtError

log = logging.getLogger("sgt")
_NOT_IN_KEYS = re.compile(r"[^A-Za-z0-9_-]+")
# Keys name members of tars and files; both have room for more.
_LONGEST = 60
_SHARD = ".tar"


@dataclass(frozen=True)
class PictureFile:
    """A file that is taken for a picture because of its name or because it was named.

    Attributes:
        path: of the file.
        name: its path in the folder that was searched, with ``/``; of a file that was named itself, its name.
        searched: the folder; None for a file that was named itself.
    """

    path: Path
    name: str
    searched: Path | None = None


@dataclass(frozen=True)
class Picture(Sample):
    """A sample that is a picture in a file of its own.

    Attributes:
        path: of the file, for messages.
    """

    path: Path = Path()

    @property
    def image_name(self) -> str:
        """The file, for messages."""
        return escaped(str(self.path))


def is_shard(paths: Sequence[Path]) -> bool:
    """Whether one shard is named, and not pictures.

    Raises:
        SgtError: several files are named, and a shard is among them.
    """
    shards = [path for path in paths if path.suffix == _SHARD and not path.is_dir()]
    if shards and len(paths) > 1:
        raise SgtError(shards[0], "a shard is rendered or shown alone", "name one shard, or pictures and folders")
    return bool(shards)


def picture_files(paths: Iterable[Path]) -> list[PictureFile]:
    """The pictures that are named, and those in the folders that are named and below them, by path in each folder.

    In folders, files with the suffix of an image count; a warning counts the others. Hidden files and links are passed
    over: a link may lead out of the folder, or to a picture that is found anyway.

    Raises:
        SgtError: a path is not there or is neither a file nor a folder, or a folder holds no picture.
    """
    found = []
    for path in paths:
        if path.is_dir():
            pictures, others = _search(path)
            found += pictures
            if others:
                log.warning("%s: passed over %s; read are %s", path, _counted(others), ", ".join(IMAGE_SUFFIXES))
        elif path.is_file():
            found.append(PictureFile(path, path.name))
        else:
            problem = "neither a file nor a folder" if path.exists() else "no such file or folder"
            raise SgtError(path, problem, "name pictures, folders of pictures, or one shard (.tar)")
    return found


def pictures_in(folder: Path) -> list[PictureFile]:
    """The pictures of a folder and of the folders in it, by path in the folder.

    Raises:
        SgtError: there is no such folder, or no picture in it.
    """
    return _search(folder)[0]


def _search(folder: Path) -> tuple[list[PictureFile], Counter[str]]:
    """The pictures below a folder, by path, and how many files of each other suffix there are."""
    if not folder.is_dir():
        raise SgtError(folder, "no such folder", "name a folder of pictures")
    found, others = [], Counter[str]()
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if is_hidden(name) or path.is_symlink() or not path.is_file():
            continue
        if path.suffix.lower().removeprefix(".") in IMAGE_SUFFIXES:
            found.append(PictureFile(path, name, folder))
        else:
            others[path.suffix.lower() or path.name] += 1
    if not found:
        problem = f"no picture in it, but {_counted(others)}" if others else "no picture in it"
        raise SgtError(folder, problem, f"put pictures there ({', '.join(IMAGE_SUFFIXES)})")
    return sorted(found, key=lambda file: file.name.encode("utf-8", "surrogateescape")), others


def _counted(others: Counter[str]) -> str:
    kinds = ", ".join(f"{count} {escaped(kind)}" for kind, count in others.most_common(3))
    return f"{others.total()} other file{'s' * (others.total() > 1)} ({kinds})"


def drawn_pictures(folder: Path, count: int, seed: int) -> list[PictureFile]:
    """The first pictures of a folder in a random order; of all of them if there are fewer.

    A picture's place depends on its name and the seed alone, so pictures that are added leave the order of the others
    as it is.

    Args:
        folder: that is searched as by :func:`pictures_in`, whose errors are raised.
        count: how many.
        seed: of the order.
    """
    files = pictures_in(folder)
    return sorted(files, key=lambda file: _digest(f"{seed} {file.name}"))[:count]


def keys_of(files: Sequence[PictureFile]) -> list[str]:
    """The key of each file, in the same order: its name without suffix, where ``_`` stands for what a key cannot have.

    Files that would share a key, whether upper and lower case differ or not, have a part of the hash of their name in
    it.

    Raises:
        SgtError: two files have the same name, and so the same key.
    """
    plain = [_NOT_IN_KEYS.sub("_", _without_suffix(file.name))[:_LONGEST] for file in files]
    taken = Counter(key.lower() for key in plain)
    keys = [
        f"{key}-{_digest(file.name)[:8]}" if taken[key.lower()] > 1 else key
        for key, file in zip(plain, files, strict=True)
    ]
    first: dict[str, PictureFile] = {}
    for key, file in zip(keys, files, strict=True):
        if (other := first.setdefault(key.lower(), file)) is not file:
            raise SgtError(escaped(str(file.path)), f"has the same name as {other.path}", "rename one of them")
    return keys


def read_pictures(files: Sequence[PictureFile]) -> Iterator[Picture]:
    """The pictures in order; only one is in memory at a time."""
    for file, key in zip(files, keys_of(files), strict=True):
        yield read_picture(file, key)


def read_picture(file: PictureFile, key: str) -> Picture:
    """A file as a sample with this key; it is not decoded."""
    suffix = file.path.suffix.lower().removeprefix(".")
    suffix = {"jpeg": "jpg"}.get(suffix, suffix)
    suffix = suffix if suffix in IMAGE_SUFFIXES else IMAGE_SUFFIXES[0]
    size = file.path.stat().st_size
    if size > MAX_MEMBER_BYTES:
        unusable = {suffix: f"{size} bytes is too large for a picture"}
        return Picture(file.path.parent, key, {}, unusable, file.path)
    return Picture(file.path.parent, key, {suffix: file.path.read_bytes()}, path=file.path)


def _without_suffix(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and stem and suffix.lower() in IMAGE_SUFFIXES else name


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
