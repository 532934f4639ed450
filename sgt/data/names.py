"""Names of files in archives and downloads: which are unsafe, which are hidden, which belong to a sample."""

import re

_DRIVE = re.compile(r"[A-Za-z]:")
_EXTENSION = r"(?:[a-z0-9]+\.)?(?:jpe?g|png|webp|gif|bmp|tiff?|json)"
_SAMPLE = re.compile(rf"(?P<key>[A-Za-z0-9_-]+)\.(?P<extension>{_EXTENSION})", re.IGNORECASE)
# Folders that file managers and other operating systems create.
_SYSTEM_FOLDERS = {"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"}


def parts_of(name: str) -> list[str]:
    """The folders and the file of a name, with ``/`` or ``\\`` as separator."""
    return [part for part in re.split(r"[/\\]", name) if part not in ("", ".")]


def leads_elsewhere(name: str) -> bool:
    """Whether a name may lead out of its folder: it is absolute, or has a drive, ``..`` or a NUL in it."""
    return "\0" in name or name.startswith(("/", "\\")) or bool(_DRIVE.match(name)) or ".." in parts_of(name)


def is_hidden(name: str) -> bool:
    """Whether a file is hidden or lies in a hidden folder (``._a.jpg``, ``__MACOSX/``)."""
    return any(part.startswith(".") or part in _SYSTEM_FOLDERS for part in parts_of(name))


def sample_member(name: str) -> tuple[str, str] | None:
    """Key and extension (lower case, ``jpg`` for ``jpeg``) of a sample's file; folders in its name are ignored.

    None for a file that belongs to no sample: a hidden or text file, or one whose name is not a valid key.
    """
    parts = parts_of(name)
    return flat_sample_member(parts[-1]) if parts and not is_hidden(name) else None


def flat_sample_member(name: str) -> tuple[str, str] | None:
    """The same for a name without folders: one that belongs to a sample is neither hidden nor leads elsewhere."""
    match = _SAMPLE.fullmatch(name)
    if match is None:
        return None
    key, extension = match.groups()
    extension = extension.lower()
    return key, "jpg" if extension == "jpeg" else extension


def escaped(name: str) -> str:
    """A name that can be encoded as UTF-8: what is not valid Unicode is escaped with backslashes."""
    return name.encode("utf-8", "backslashreplace").decode()
