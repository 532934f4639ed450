"""Files as Xet storage keeps them: cut into pieces, each in a xorb of its own.

The formats are those of the Xet protocol: https://huggingface.co/docs/xet.
"""

import hashlib

PIECE = 2**18
CHUNK = 2**16


def hash_of(content: bytes) -> str:
    """What stands for the Merkle hash of a file; clients do not recompute it."""
    return hashlib.sha256(b"xet" + content).hexdigest()


def pieces(content: bytes) -> list[bytes]:
    """The parts of a file that are in one xorb each."""
    return [content[start : start + PIECE] for start in range(0, len(content), PIECE)]


def xorb(piece: bytes) -> bytes:
    """Chunks, each behind a header: version, size in storage, compression (none), size."""
    packed = b""
    for start in range(0, len(piece), CHUNK):
        chunk = piece[start : start + CHUNK]
        size = len(chunk).to_bytes(3, "little")
        packed += b"\0" + size + b"\0" + size + chunk
    return packed


def reconstruction(content: bytes, start: int, url: str) -> dict:
    """How to put a file together from an offset on; the xorb of piece N is at ``url/N``."""
    first, terms, xorbs = start // PIECE, [], {}
    for index, piece in list(enumerate(pieces(content)))[first:]:
        digest, chunks = hash_of(piece), {"start": 0, "end": -(-len(piece) // CHUNK)}
        terms.append({"hash": digest, "unpacked_length": len(piece), "range": chunks})
        ranges = [{"chunks": chunks, "bytes": {"start": 0, "end": len(xorb(piece)) - 1}}]
        xorbs[digest] = [{"url": f"{url}/{index}", "ranges": ranges}]
    return {"offset_into_first_range": start % PIECE, "terms": terms, "xorbs": xorbs}
