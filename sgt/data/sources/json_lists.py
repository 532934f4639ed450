"""Lists in a JSON file far larger than memory, one element at a time, with ``ijson``.

ijson limits neither the size of a value nor its nesting, and its time grows with the square of the nesting, so a file
is checked for both before ijson sees it.
"""

import re
from collections.abc import Iterator
from itertools import accumulate
from typing import IO

import ijson

CHUNK = 2**16
MAX_DEPTH = 200
# How deep the elements of a list of the outermost object are.
_ELEMENT_DEPTH = 2
_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NOT_STRUCTURE = bytes(set(range(256)) - set(b'[]{}"'))


def list_items(file: IO[bytes], key: str, most: int) -> Iterator[object]:
    """The elements of the list ``key`` of the object that a file holds.

    Args:
        file: seekable; it is read from here to its end.
        key: of the outermost object.
        most: bytes that one element, or one other value, may have; up to ``CHUNK`` more pass.

    Raises:
        ValueError: the file is not a JSON object with such a list, or a value is too large or too deeply nested.
    """
    start, empty = file.tell(), True
    try:
        for item in ijson.items(_Limited(file, most), f"{key}.item", use_float=True, buf_size=CHUNK):
            empty = False
            yield item
        if empty:
            file.seek(start)
            events = ijson.parse(_Limited(file, most), use_float=True, buf_size=CHUNK)
            if not any(event == "start_array" and prefix == key for prefix, event, _ in events):
                raise ValueError(f"no list {key!r}")
    except ijson.JSONError as error:
        raise ValueError(str(error)) from None


class _Limited:
    """A JSON file whose ``read`` raises ValueError where a value becomes too large or too deeply nested."""

    def __init__(self, file: IO[bytes], most: int) -> None:
        self._file, self._most = file, most
        self._depth, self._size = 0, 0
        self._in_string, self._escape = False, b""

    def read(self, size: int = -1) -> bytes:
        """The next ``size`` bytes."""
        block = self._file.read(size)
        depths, one_token = self._scan(block)
        self._size = self._size + len(block) if one_token or min(depths) > _ELEMENT_DEPTH else 0
        if max(depths) > MAX_DEPTH:
            raise ValueError(f"nested more than {MAX_DEPTH} deep")
        if self._size > self._most:
            raise ValueError(f"a value of more than {self._most} bytes")
        return block

    def _scan(self, block: bytes) -> tuple[list[int], bool]:
        """Depths of nesting within a block, and whether all of it is in one string or number."""
        text = _ESCAPE.sub(b"", self._escape + block)
        self._escape = b"\\" if text.endswith(b"\\") else b""
        # Strings begin and end at quotes, so every second part is outside of them.
        parts = text.translate(None, _NOT_STRUCTURE).split(b'"')
        outside = b"".join(parts[int(self._in_string) :: 2])
        depths = list(accumulate((_STEP[bracket] for bracket in outside), initial=self._depth))
        one_token = len(parts) == 1 and not outside and (self._in_string or b"," not in block)
        self._in_string ^= len(parts) % 2 == 0
        self._depth = depths[-1]
        return depths, one_token
