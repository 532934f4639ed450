"""Records of published benchmarks, as their files write them."""

import json

import pytest

from sgt.data.records import Record, read_json_records

TEXTS = ["one\u2028two", "one\x85two\u2029", "plain"]


class Prompt(Record):
    prompt: str


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_text_of_json_lines_may_have_separators_of_lines_in_it(end, tmp_path):
    records = [json.dumps({"prompt": text}, ensure_ascii=False) for text in TEXTS]
    (tmp_path / "prompts.jsonl").write_bytes("".join(record + end for record in records).encode())
    assert [record.prompt for record in read_json_records(tmp_path / "prompts.jsonl", Prompt)] == TEXTS
