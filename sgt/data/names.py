"""Names of files that others packed or copied: which lead elsewhere, which belong to no dataset, which to a sample."""

import re

_DRIVE = re.compile(r"[A-Za-z]:")
_EXTENSION = r"(?:[a-z0-9]+\.)?(?:jpe?g|png|webp|gif|bmp|tiff?|json)"
_SAMPLE = re.compile(rf"(?P<key>[A-Za-z0-9_-]+)\.(?P<extension>{_EXTENSION})", re.IGNORECASE)
# What file managers and disks of other systems leave behind.
_SYSTEM_FOLDERS = {"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"}


def parts_of(name: str) -> list[str]:
    """The folders and the file of a name, whichever system wrote it."""
    return [part for part in re.split(r"[/\\]", name) if part not in ("", ".")]


def leads_elsewhere(name: str) -> bool:
    """Whether a name would leave the folder it is read in: absolute, with a drive, with ``..``, or cut by a NUL."""
    return "\0" in name or name.startswith(("/", "\\")) or bool(_DRIVE.match(name)) or ".." in parts_of(name)


def is_hidden(name: str) -> bool:
    """Whether a file is hidden or lies in a hidden folder, as other systems leave them (``._a.jpg``, ``__MACOSX/``)."""
    return any(part.startswith(".") or part in _SYSTEM_FOLDERS for part in parts_of(name))


def sample_member(name: str) -> tuple[str, str] | None:
    """Key and extension (lower case, ``jpg`` for ``jpeg``) of a sample's file, whatever folders it claims to be in.

    None for what belongs to no sample: hidden files, texts, names that are no key.
    """
    parts = parts_of(name)
    match = _SAMPLE.fullmatch(parts[-1]) if parts and not is_hidden(name) else None
    if match is None:
        return None
    extension = match["extension"].lower()
    return match["key"], "jpg" if extension == "jpeg" else extension


def written(name: str) -> str:
    """A name as it can be written anywhere: what is no Unicode is escaped."""
    return name.encode("utf-8", "backslashreplace").decode()
