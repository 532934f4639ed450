"""Reading JSON files: one line names the file, what is wrong and what to do."""

import json

import pytest

from sgt import json_files
from sgt.errors import SgtError
from sgt.json_files import compact, indented, json_fields, plain, read_json


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"{", "not valid JSON (Expecting property name"),
        (b"\xff{}", "not valid JSON ('utf-8' codec"),
        (b"[" * 100_000, "not valid JSON (maximum recursion depth"),
        (b"[]", "not a JSON object"),
    ],
)
def test_a_file_that_holds_no_object_is_refused_in_one_line(content, problem, tmp_path):
    path = tmp_path / "record.json"
    path.write_bytes(content)
    with pytest.raises(SgtError) as raised:
        read_json(path, "make it again")
    assert str(raised.value).startswith(f"{path}: {problem}") and str(raised.value).endswith("; make it again")


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"files": 1}', '{"files": [1]}', '{"files": {"a": {}}}'])
def test_a_missing_or_wrong_field_is_refused_in_one_line(content, tmp_path):
    path = tmp_path / "record.json"
    path.write_text(content)
    with (
        pytest.raises(SgtError, match=r"record\.json: not a list of files \(.*\); fetch it again"),
        json_fields(path, "a list of files", "fetch it again") as record,
    ):
        assert [file["sha256"] for file in record["files"].values()] == []


def test_a_missing_file_is_left_to_the_caller(tmp_path):
    with pytest.raises(FileNotFoundError), json_fields(tmp_path / "none.json", "a record", "make it"):
        pytest.fail("there is nothing to read")


def test_an_error_of_the_block_keeps_its_own_message(tmp_path):
    path = tmp_path / "record.json"
    path.write_text("{}")
    with pytest.raises(SgtError, match="seed: is negative"), json_fields(path, "a record", "make it"):
        raise SgtError("seed", "is negative", "raise it")


def test_indented_json_is_the_same_value_with_a_line_per_column():
    value = {
        "name": "é",
        "none": {},
        "columns": {"id": ["a", "b"], "right": [1.0, float("inf"), None]},
        "pairs": [[1, 2], []],
    }
    text = "".join(indented(value))
    assert json.loads(text) == value
    assert text.splitlines()[4:8] == [
        '    "id": ["a", "b"],',
        '    "right": [1.0, Infinity, null]',
        "  },",
        '  "pairs": [',
    ]


@pytest.mark.parametrize("sort_keys", [False, True])
def test_parts_of_a_large_value_make_the_text_that_json_makes(sort_keys, monkeypatch):
    monkeypatch.setattr(json_files, "_AT_ONCE", 3)
    value = {
        "z": [1, 2.5, "ü", None, True, float("nan"), [7]],
        "a": {"c": [[]] * 3, "b": list("abcdefg")},
        "e": [],
        "d": {},
    }
    parts = list(compact(value, sort_keys))
    assert "".join(parts) == json.dumps(value, sort_keys=sort_keys, ensure_ascii=False)
    assert len(parts) > 10 and max(map(len, parts)) < 40
    monkeypatch.undo()
    assert list(compact(value, sort_keys)) == ["".join(parts)]


def test_plain_values_are_those_that_json_gives_back():
    numbers = list(range(5))
    value = {2: (1, (2, {"a": (3,)})), None: [numbers, "x"], "f": 0.1, True: {}, "e": ()}
    assert plain(value) == json.loads(json.dumps(value)) and list(plain(value)) == list(json.loads(json.dumps(value)))
    assert plain({"numbers": numbers})["numbers"] is numbers
