"""Lists in a JSON file far larger than memory, one element at a time."""

import codecs
import json
from collections.abc import Iterator
from typing import IO

CHUNK = 2**20
_SPACE = " \t\n\r"
_AFTER = _SPACE + ",:]}"
_decoder = json.JSONDecoder()


def list_items(file: IO[bytes], key: str, most: int) -> Iterator[object]:
    """The elements of the list ``key`` of the object that a file holds.

    Args:
        file: read from here to its end or to the end of the list.
        key: of the outermost object.
        most: characters that one element, or one other value, may take.

    Raises:
        ValueError: it is not a JSON object with such a list, or a value is too large.
        RecursionError: a value is nested too deeply.
    """
    text = _Text(file, most)
    text.expect("{")
    while (end := text.peek()) != "}":
        if end == ",":
            text.expect(",")
        name = text.value()
        text.expect(":")
        if text.peek() != "[":
            text.value()
            continue
        text.expect("[")
        while (end := text.peek()) != "]":
            if end == ",":
                text.expect(",")
            item = text.value()
            if name == key:
                yield item
        if name == key:
            return
        text.expect("]")
    raise ValueError(f"no list {key!r}")


class _Text:
    """The part of the file that is being read, and how far it is read."""

    def __init__(self, file: IO[bytes], most: int) -> None:
        self._file, self._most = file, most
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self._buffer, self._place, self._ended = "", 0, False

    def peek(self) -> str:
        """The next character that is no space."""
        while True:
            while self._place < len(self._buffer) and self._buffer[self._place] in _SPACE:
                self._place += 1
            if self._place < len(self._buffer):
                return self._buffer[self._place]
            self._read(CHUNK)

    def expect(self, character: str) -> None:
        """Go past a character."""
        if self.peek() != character:
            raise ValueError(f"{self.peek()!r} where {character!r} belongs")
        self._place += 1

    def value(self) -> object:
        """The next value, whole."""
        self.peek()
        size = CHUNK
        while True:
            try:
                value, end = _decoder.raw_decode(self._buffer, self._place)
            except json.JSONDecodeError:
                if self._ended:
                    raise
            else:
                # A number goes on until something follows that cannot belong to it.
                if self._ended or (end < len(self._buffer) and self._buffer[end] in _AFTER):
                    self._place = end
                    return value
            if len(self._buffer) - self._place > self._most:
                raise ValueError(f"a value of more than {self._most} characters")
            self._read(size)
            size *= 2

    def _read(self, size: int) -> None:
        """Read on, and forget what is done with."""
        if self._ended:
            raise ValueError("it ends too early")
        block = self._file.read(size)
        self._ended = not block
        self._buffer = self._buffer[self._place :] + self._decode(block, self._ended)
        self._place = 0
