"""Where the files of samples lie in a tar, from its headers alone.

:mod:`tarfile` takes some 20 µs per header. A plain header, such as those that :class:`sgt.data.shards.ShardWriter`, GNU
tar and most other programs write for a file with a short name, is read here in a few. Every other block (long names,
extended headers, folders, links, what is damaged, the end) is left to :mod:`tarfile`, so that what is accepted, and why
something is not, does not depend on who reads a header.
"""

import os
import re
import tarfile
import zlib
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

from sgt.data.names import flat_sample_member, leads_elsewhere, sample_member
from sgt.errors import SgtError

# Of a regular file, from its mode on: numbers in octal digits, and no more of its name in the prefix field.
_PLAIN = re.compile(
    rb"(?:[0-7]{6}[0-7 ]\0){3}"  # mode, owner, group
    rb"([0-7]{11})[ \0]"  # size
    rb"[0-7]{11}[ \0]"  # time
    rb"([0-7]{6})(?:\0 | \0)"  # checksum
    rb"[0\0]"  # type
    rb".{172}"  # link name, magic, version, names of owner and group
    rb"(?:[0-7]{6}[0-7 ]\0|\0{8}){2}"  # device
    rb"\0",  # prefix
    re.DOTALL,
)
_NAME_BYTES = 100
_CHECKSUM = slice(148, 156)


def sample_members(
    file: BufferedReader, path: Path, passed_over: list[str] | None = None
) -> Iterator[tuple[str, str, int, int]]:
    """Key, extension, offset and size of each member that belongs to a sample, in order.

    Args:
        file: the tar, open at its start. When a member is yielded, it stands where the content of the member begins;
            it may be read and moved before the next one.
        path: of the tar, for messages.
        passed_over: a list that receives the names of all other files.

    Raises:
        SgtError: the file is truncated or not a tar, or a member is a link or a device, or has a name that leads out of
            its folder.
    """
    end, last = os.fstat(file.fileno()).st_size, None
    try:
        tar = tarfile.TarFile(fileobj=file)
        while member := tar.next():
            # tarfile keeps every member that it reads.
            tar.members.clear()  # type: ignore[attr-defined]  # typeshed leaves it out
            if named := _checked(member, path, end):
                last = named[0]
                file.seek(member.offset_data)
                yield *named, member.offset_data, member.size
            elif passed_over is not None and not member.isdir():
                passed_over.append(member.name)
            for plain in _plain_members(file, tar, path, end):
                last = plain[0]
                yield plain
            # From another place than the next header's, tarfile checks that the last member's padding is there.
            file.seek(tar.offset - 1)
        # tarfile takes a damaged or zeroed header, and the end of a file cut between two members, for the end of
        # the archive, after which there are zeros alone.
        if not _ends_in_zeros(tar):
            raise SgtError(path, f"truncated or damaged after {last}", "make or fetch the shard again")
    # The last four: extended headers that claim sizes beyond any memory, or below nothing, or that go on and on.
    except (tarfile.TarError, EOFError, ValueError, OverflowError, MemoryError, RecursionError) as error:
        raise SgtError(path, f"truncated or not a tar ({error})", "make or fetch the shard again") from None


def _checked(member: tarfile.TarInfo, path: Path, end: int) -> tuple[str, str] | None:
    """Key and extension of a member; None if it belongs to no sample."""
    if leads_elsewhere(member.name) or member.issym() or member.islnk() or member.isdev():
        problem = "its name leads elsewhere, or it is a link or device"
        raise SgtError(f"{path}: {member.name!r}", problem, "do not use this archive")
    if member.isdir():
        return None
    _check_size(member.name, member.size, end - member.offset_data, path)
    return sample_member(member.name) if member.isreg() and not member.issparse() else None


def _check_size(name: str, size: int, most: int, path: Path) -> None:
    if not 0 <= size <= most:
        raise SgtError(path, f"truncated in {name!r}", "make or fetch the shard again")


def _plain_members(
    file: BufferedReader, tar: tarfile.TarFile, path: Path, end: int
) -> Iterator[tuple[str, str, int, int]]:
    """Key, extension, offset and size of the members from ``tar.offset`` on whose headers are plain, up to the first
    other header, where ``tar.offset`` then is."""
    # tarfile applies a global extended header to all members after it.
    while not tar.pax_headers:
        file.seek(tar.offset)
        if (plain := _plain_header(file.read(tarfile.BLOCKSIZE))) is None:
            return
        name, (key, extension), size = plain
        start = tar.offset + tarfile.BLOCKSIZE
        _check_size(name, size, end - start, path)
        tar.offset = start + -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        yield key, extension, start, size


def _plain_header(header: bytes) -> tuple[str, tuple[str, str], int] | None:
    """Name, key with extension, and size of a sample's file with a plain header; None if it is any other block."""
    fields = _PLAIN.match(header, _NAME_BYTES)
    if fields is None or len(header) < tarfile.BLOCKSIZE or not header.isascii():
        return None
    size, checksum = fields.groups()
    # The checksum is the sum of all bytes, with spaces in its own place. The lower half of Adler-32 is one more than
    # the sum of bytes, modulo 65521, which ASCII characters in 512 bytes do not reach.
    total = (zlib.adler32(header) & 0xFFFF) - (zlib.adler32(header[_CHECKSUM]) & 0xFFFF) + 8 * ord(" ")
    if total != int(checksum, 8):
        return None
    name = header[: max(0, header.find(b"\0", 0, _NAME_BYTES))].decode("ascii")
    named = flat_sample_member(name.removeprefix("./"))
    return (name, named, int(size, 8)) if named else None


def _ends_in_zeros(tar: tarfile.TarFile) -> bool:
    """Whether what follows the last member that was read is at least one block, and zeros alone."""
    file = tar.fileobj
    file.seek(tar.offset)
    rest = file.read(tarfile.BLOCKSIZE)
    whole = len(rest) == tarfile.BLOCKSIZE
    while rest and not rest.strip(tarfile.NUL):
        rest = file.read(tarfile.RECORDSIZE)
    return whole and not rest
