"""Shards of any content come back as they were written; damaged ones, and anything else, end in one SgtError.

Plain headers are read by our own code: whatever a file holds, the samples or the error are those that tarfile leads to.
"""

import io
import re
import tarfile
from itertools import pairwise
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sgt.data import tar_members
from sgt.data.shards import ShardWriter, read_shard
from sgt.errors import SgtError

BLOCK = tarfile.BLOCKSIZE
KEYS = st.from_regex(r"[A-Za-z0-9_-]{1,40}", fullmatch=True)
EXTENSIONS = st.sampled_from(["jpg", "json", "png", "webp", "depth.png", "panoptic.png", "stuff.png"])
SAMPLES = st.dictionaries(
    KEYS, st.dictionaries(EXTENSIONS, st.binary(max_size=3 * BLOCK), min_size=1, max_size=3), min_size=1, max_size=4
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("shards") / "shard-00000.tar"


def write(path, samples: dict[str, dict[str, bytes]]) -> bytes:
    """Write a shard; its bytes."""
    with ShardWriter(path) as writer:
        for key, files in samples.items():
            writer.add(key, files)
    return path.read_bytes()


def read(path) -> list[tuple[str, dict[str, bytes]]]:
    return [(sample.key, sample.files) for sample in read_shard(path)]


def outcome(path) -> list[tuple[str, dict[str, bytes]]] | str:
    """The samples, or the error in one line."""
    try:
        return read(path)
    except SgtError as error:
        assert str(error).startswith(str(path)) and len(str(error).splitlines()) == 1
        return str(error)


def read_or_refused(path, content: bytes) -> list[tuple[str, dict[str, bytes]]] | None:
    """The samples of a file with this content, or None if it was refused; the same if tarfile reads every header."""
    path.write_bytes(content)
    result = outcome(path)
    with patch.object(tar_members, "_plain_header", lambda header: None):
        assert outcome(path) == result
    return None if isinstance(result, str) else result


@given(SAMPLES)
def test_what_is_written_is_read(path, samples):
    assert read_or_refused(path, write(path, samples)) == list(samples.items())


def headers(samples: dict[str, dict[str, bytes]]) -> list[int]:
    """Where the header of each member begins."""
    places = [0]
    for content in (content for files in samples.values() for content in files.values()):
        places.append(places[-1] + BLOCK + -(-len(content) // BLOCK) * BLOCK)
    return places[:-1]


@given(SAMPLES, st.data())
def test_a_truncated_shard_is_refused_or_whole(path, samples, data):
    content = write(path, samples)
    cut = data.draw(st.integers(0, len(content) - 1))
    assert read_or_refused(path, content[:cut]) in (None, list(samples.items()))


@given(SAMPLES, st.data())
def test_a_shard_with_a_damaged_header_is_refused_or_whole(path, samples, data):
    content = bytearray(write(path, samples))
    place = data.draw(st.sampled_from(headers(samples))) + data.draw(st.integers(0, BLOCK - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    assert read_or_refused(path, bytes(content)) in (None, list(samples.items()))


@given(SAMPLES, st.data())
def test_a_shard_with_zeros_for_a_header_is_refused(path, samples, data):
    """As a file system may leave them after a crash. Where nothing else follows, the manifest's hash tells."""
    content = bytearray(write(path, samples))
    start = data.draw(st.sampled_from(headers(samples)))
    content[start : start + BLOCK] = bytes(BLOCK)
    assert (read_or_refused(path, bytes(content)) is None) == any(content[start:])


def test_archives_one_after_another_are_refused(path):
    """tarfile reads the first one alone."""
    content = write(path, {"a": {"jpg": b"x"}})
    assert read_or_refused(path, content) and read_or_refused(path, content * 2) is None


def archive(members: list[tuple[str, bytes, bytes]], format: int) -> bytearray:
    """A tar of members (name, type, content) in a format."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w", format=format) as tar:
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type, info.size = kind, len(content)
            tar.addfile(info, io.BytesIO(content))
    return bytearray(whole.getvalue())


def seal(content: bytearray, start: int) -> None:
    """Give a header the checksum that it should have."""
    content[start + 148 : start + 156] = b" " * 8
    content[start + 148 : start + 156] = b"%06o\0 " % sum(content[start : start + BLOCK])


TYPES = [b"0", b"5", b"L", b"K", b"x", b"g", b"S", b"1", b"X", b"7", b"\0", b"?"]
NAMES = st.sampled_from(["a.jpg", "b.json", "./a.JPEG", "a" * 96 + ".jpg", "x/c.png", "a" * 120 + ".jpg", "é.jpg", "d"])
MEMBERS = st.lists(
    st.tuples(NAMES, st.sampled_from(TYPES), st.sampled_from([b"", b"x" * 700, b"12 path=a.jpg\n", b"20 size=-1\n\0"])),
    min_size=1,
    max_size=4,
)
FORMATS = st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])


@given(MEMBERS, FORMATS, st.data())
def test_hostile_headers_end_in_one_error_or_in_samples(path, members, format, data):
    """Bytes of headers are changed, and some of their checksums made to agree."""
    try:
        content = archive(members, format)
    except ValueError:  # a name that the format has no room for
        return
    starts = [match.start() - 257 for match in re.finditer(rb"ustar", content)]
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.sampled_from(starts))
        # Name, mode, size, time and checksum, type, link name, magic, device, prefix.
        ends = [0, 100, 124, 136, 156, 157, 257, 265, 329, 345, 512]
        field = data.draw(st.sampled_from([*pairwise(ends)]))
        place = start + data.draw(st.integers(field[0], field[1] - 1))
        content[place : place + 1] = data.draw(st.binary(min_size=1, max_size=1) | st.sampled_from([b"0", b" ", b"\0"]))
        if data.draw(st.booleans()):
            seal(content, start)
    read_or_refused(path, bytes(content))


@given(st.binary(max_size=2 * BLOCK))
@example(b"")
@example(bytes(BLOCK))
@example(bytes(2 * BLOCK))
@example(b"\x1f\x8b" + bytes(2 * BLOCK))
def test_anything_else_is_refused_or_has_no_sample(path, content):
    assert read_or_refused(path, content) in (None, [])


def test_a_chain_of_long_names_is_refused(path):
    """Each GNU header for a long name is followed by another; tarfile reads them one within the other."""
    assert read_or_refused(path, bytes(archive([("x", b"L", b"name\0")] * 5000, tarfile.GNU_FORMAT))) is None
