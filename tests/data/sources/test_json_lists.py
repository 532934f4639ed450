"""Lists of a large JSON file, read in pieces of any size."""

import io
import json

import pytest

from sgt.data.sources import json_lists

RECORD = {
    "info": {"a": [1, {"b": "]}"}]},
    "numbers": [1, -2.5, 30000, 1e5],
    "images": [{"id": 1, "name": 'brackets ]}" \\ é 漢'}, {"id": 2, "more": [[], {}, [{"x": None}]]}],
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
        assert list(json_lists.list_items(io.BytesIO(content), key, 10_000)) == RECORD[key]
    with pytest.raises(ValueError, match="no list 'info'"):
        list(json_lists.list_items(io.BytesIO(content), "info", 10_000))


def test_memory_does_not_grow_with_the_list():
    class Endless(io.RawIOBase):
        """A list that never ends."""

        begun = False

        def read(self, size=-1):
            head, self.begun = (b"" if self.begun else b'{"a": ['), True
            return head + b'{"x": 12345},' * (size // 13 + 1)

    items = json_lists.list_items(Endless(), "a", 10_000)
    for _ in range(300_000):
        assert next(items) == {"x": 12345}
    frame = items.gi_frame.f_locals["text"]
    assert len(frame._buffer) < 3 * json_lists.CHUNK


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"a": [1 2',
        b'{"a"',
        b'{"a": [',
        b'{"a": [{]}',
        b'{"a": ["' + b"x" * 30_000,
        b"\xff\xfe{",
        b"{'a': []}",
    ],
)
def test_what_is_no_such_file_is_told(content):
    with pytest.raises(ValueError, match=r"."):
        list(json_lists.list_items(io.BytesIO(content), "a", 10_000))


def test_deep_nesting_ends_at_once():
    with pytest.raises(RecursionError):
        list(json_lists.list_items(io.BytesIO(b'{"a": [' + b"[" * 2_000_000), "a", 2**26))
