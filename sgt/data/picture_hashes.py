"""Hashes of pictures, kept beside the shards that were made of them, so that planning does not read every picture."""

from collections.abc import Iterable
from pathlib import Path

from sgt.atomic import sha256, write_json
from sgt.data.names import escaped
from sgt.data.pictures import PictureFile
from sgt.json_files import json_fields

PICTURES = "pictures.json"


class PictureHashes:
    """SHA-256 of pictures. Of one with the recorded size and modification time, the record is trusted, as git does.

    Args:
        folder: of the shards, where an earlier record may lie; None to read every picture.

    Raises:
        SgtError: the record is damaged.
    """

    def __init__(self, folder: Path | None) -> None:
        # (size, modification time, hash) by name.
        self._known: dict[str, tuple[int, int, str]] = {}
        if folder is not None and (path := folder / PICTURES).exists():
            with json_fields(path, "a record of pictures", "delete it") as record:
                for name, each in record["pictures"].items():
                    self._known[name] = each["size"], each["mtime_ns"], each["sha256"]

    def of(self, file: PictureFile) -> str:
        """SHA-256 of a picture, in hex."""
        *written, known = self._known.get(escaped(file.name), (None, None, ""))
        about = file.path.stat()
        return known if written == [about.st_size, about.st_mtime_ns] else sha256(file.path)


def write_picture_hashes(folder: Path, files: Iterable[tuple[PictureFile, str]]) -> None:
    """Record each picture's key and hash in the folder of the shards that are made of them."""
    hashes, records = PictureHashes(folder), {}
    for file, key in files:
        about = file.path.stat()
        written = {"size": about.st_size, "mtime_ns": about.st_mtime_ns}
        records[escaped(file.name)] = {"key": key, "sha256": hashes.of(file), **written}
    write_json(folder / PICTURES, {"pictures": records})
