"""Images in a tar that is read in place, by the end of their name."""

import tarfile
from pathlib import Path

from PIL import Image

from sgt.data.images import decode_image
from sgt.data.names import is_hidden, leads_elsewhere, parts_of
from sgt.data.shards import MAX_MEMBER_BYTES
from sgt.errors import SgtError

REMEDY = "fetch it again, or another revision"


class TarImages:
    """The images of a tar without compression.

    Args:
        path: of the tar. Only positions of its members are kept in memory.

    Raises:
        SgtError: it is no such tar, or the name of a member leads out of it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # Folder and file of a name, and whole file names, to (offset, size) of what has it.
        self._places: dict[tuple[str, ...], list[tuple[int, int]]] = {}
        try:
            with tarfile.open(path, "r:") as tar:
                for member in tar:
                    if leads_elsewhere(member.name):
                        raise SgtError(
                            f"{path}: {member.name!r}", "its name leads elsewhere", "do not use this archive"
                        )
                    if member.isreg() and not is_hidden(member.name):
                        parts = tuple(parts_of(member.name))
                        self._places.setdefault(parts[-2:], []).append((member.offset_data, member.size))
        except (tarfile.TarError, EOFError, ValueError, OverflowError) as error:
            raise SgtError(path, f"truncated or not a tar ({error})", REMEDY) from None
        except FileNotFoundError:
            raise SgtError(path, "not there", REMEDY) from None

    def image(self, name: str) -> Image.Image:
        """An image, upright and RGB.

        Args:
            name: as the data has it: ``FOLDER/FILE``.

        Raises:
            SgtError: there is not one image of this name, or it cannot be decoded.
        """
        found = self._places.get(tuple(parts_of(name))[-2:], [])
        if len(found) != 1:
            raise SgtError(self.path, f"{len(found)} files are called {name!r}, which the data names", REMEDY)
        ((offset, size),) = found
        if size > MAX_MEMBER_BYTES:
            raise SgtError(f"{self.path}: {name}", f"larger than {MAX_MEMBER_BYTES} bytes", "do not use this archive")
        with open(self.path, "rb") as file:
            file.seek(offset)
            return decode_image(file.read(size), f"{self.path}: {name}")
