"""What a client of Xet storage sends: xorbs of chunks, and shards that say which chunks make which file.

The formats are those of the Xet protocol: https://huggingface.co/docs/xet.
"""

import struct
from collections.abc import Iterator

# Sizes in a shard, bytes: its header, and every entry after it.
HEADER, ENTRY = 48, 48
HAS_VERIFICATION, HAS_METADATA = 1 << 31, 1 << 30
END = b"\xff" * 32


def chunks(xorb: bytes) -> list[bytes]:
    """The chunks of a xorb, each behind a header: version, size in storage, compression, size."""
    found = []
    while xorb and xorb[0] == 0:
        stored, compression, size = int.from_bytes(xorb[1:4], "little"), xorb[4], int.from_bytes(xorb[5:8], "little")
        assert compression == 0 and stored == size, "set HF_XET_XORB_COMPRESSION_POLICY to none"
        found.append(xorb[8 : 8 + size])
        xorb = xorb[8 + size :]
    return found


def files(shard: bytes, xorbs: dict[str, list[bytes]]) -> Iterator[bytes]:
    """The content of each file of a shard, put together from the chunks of the xorbs that came before it."""
    place = HEADER
    while (first := shard[place : place + ENTRY])[:32] != END:
        flags, count = struct.unpack("<II", first[32:40])
        place += ENTRY
        content = b""
        for _ in range(count):
            digest, _, size, start, stop = struct.unpack("<32sIIII", shard[place : place + ENTRY])
            part = b"".join(xorbs[_name(digest)][start:stop])
            assert len(part) == size
            content, place = content + part, place + ENTRY
        yield content
        place += ENTRY * (count * bool(flags & HAS_VERIFICATION) + bool(flags & HAS_METADATA))


def _name(digest: bytes) -> str:
    """A hash in an address: four numbers of 64 bits."""
    return "".join(f"{number:016x}" for number in struct.unpack("<4Q", digest))
