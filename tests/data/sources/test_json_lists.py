"""Lists of a large JSON file, read in blocks of any size."""

import io
import json
import random

import pytest

from sgt.data.sources import json_lists
from sgt.data.sources.json_lists import list_items

RECORD = {
    "info": {"a": [1, {"b": "]}"}]},
    "numbers": [1, -2.5, 30000, 1e5, 2**62, *(random.Random(0).uniform(-1e3, 1e3) for _ in range(200))],
    "images": [{"id": 1, "name": 'brackets ]}" \\ é 漢'}, {"id": 2, "more": [[], {}, [{"x": None}], "\\"]}],
    "none": [],
    "annotations": [{"id": number, "counts": list(range(number % 9))} for number in range(200)],
}


@pytest.mark.parametrize("chunk", [1, 2, 7, 64, 2**20])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_items_are_those_of_the_whole_file(chunk, indent, ascii_only, monkeypatch):
    monkeypatch.setattr(json_lists, "CHUNK", chunk)
    content = json.dumps(RECORD, indent=indent, ensure_ascii=ascii_only).encode()
    for key in ("numbers", "images", "none", "annotations"):
        items = list(list_items(io.BytesIO(content), key, 10_000))
        assert items == RECORD[key] and [type(item) for item in items] == [type(item) for item in RECORD[key]]
    for key in ("info", "else"):
        with pytest.raises(ValueError, match=f"no list '{key}'"):
            list(list_items(io.BytesIO(content), key, 10_000))


class Endless(io.RawIOBase):
    """A beginning, and then the same bytes for ever."""

    def __init__(self, head: bytes, body: bytes) -> None:
        self.head, self.body, self.given = head, body, 0

    def read(self, size=-1):
        content = self.head + self.body * (size // len(self.body) + 1)
        block, self.head = content[:size], content[size:]
        self.given += len(block)
        return block

    def tell(self):
        return 0


def test_no_more_is_read_than_the_items_need():
    file = Endless(b'{"a": [', b'{"x": 12345},')
    items = list_items(file, "a", 10_000)
    for count in range(1, 300_001):
        assert next(items) == {"x": 12345}
        assert file.given <= 13 * count + 3 * json_lists.CHUNK


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b'{"a": ["', b"x"), (b'{"a": ["', b"]},["), (b'{"a": ["', b'\\"'), (b'{"a": [', b"1"), (b'{"a": [[', b"1,"),
        (b'{"a": [{"b": [', b'"x",'), (b'{"a": [{"b": [', b'{"c": []},'), (b'{"skipped": "', b"x"),
        (b'{"skipped": [[', b"1,"), (b'{"skipped": [1], "', b"x"), (b'{"a"', b" "),
    ],
)  # fmt: skip
def test_a_value_without_end_is_refused(head, body):
    file = Endless(head, body)
    with pytest.raises(ValueError, match="a value of more than 1000000 bytes"):
        next(list_items(file, "a", 10**6))
    assert file.given < 2 * 10**6


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b'{"a": [1 2', b'{"a"', b'{"a": [', b'{"a": [{]}', b'{"a": ["x', b"\xff\xfe{", b"{'a': []}"],
)
def test_malformed_files_are_refused(content):
    with pytest.raises(ValueError, match=r"."):
        list(list_items(io.BytesIO(content), "a", 10_000))


@pytest.mark.parametrize("level", [b"[", b'{"a":', b"[1, ["])
def test_deep_nesting_ends_at_once(level):
    file = Endless(b'{"a": [', level)
    with pytest.raises(ValueError, match="nested more than 200 deep"):
        next(list_items(file, "a", 2**26))
    assert file.given < 3 * json_lists.CHUNK
