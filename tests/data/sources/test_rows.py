"""Rows as found in practice: fields missing or of another type, no area, absent subsets."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sgt.data.dataset import open_dataset
from sgt.data.images import encode_jpeg
from sgt.data.manifest import read_manifest
from tests.data.sources import releases
from tests.data.sources.conftest import allow, refused, report, rezip, shards

OV = Path("downloads/llava-onevision")


def change_records(name: str, inner: str, change) -> None:
    """Change the JSON of an archive of COCO."""

    def changed(members):
        for member, content in members:
            if member.endswith(inner):
                record = json.loads(content)
                change(record)
                content = json.dumps(record).encode()
            yield member, content

    rezip(name, changed)


INSTANCES = ("annotations_trainval2017.zip", "instances_train2017.json")
PANOPTIC = ("panoptic_annotations_trainval2017.zip", "panoptic_train2017.json")


def test_an_image_is_kept_without_its_annotation_without_area(study):
    def change(record):
        first, second, third = record["annotations"][:3]
        first["segmentation"], third["segmentation"] = [], None
        second["segmentation"].append([1, 1, 5, 5])

    change_records(*INSTANCES, change)
    study.write_text(study.read_text().replace("images: 10", "images: 12"))
    folder = shards(study, "coco")
    assert len(open_dataset(folder)) == 12
    assert not any(shard["refused"] for name, shard in report(folder).items() if name != "archives")


def spoil(field: str, value: object, *kinds: str):
    """Change a field of the first of each of these lists."""

    def change(record):
        for kind in kinds:
            if value is ...:
                del record[kind][0][field]
            else:
                record[kind][0][field] = value

    return change


ROWS = {
    "image without name": (INSTANCES, spoil("file_name", ..., "images"), "is not described once"),
    "image with a number for its name": (INSTANCES, spoil("file_name", 17, "images"), "is not described once"),
    "image with an empty name": (INSTANCES, spoil("file_name", "", "images"), "no such member"),
    "image with a lone surrogate": (INSTANCES, spoil("file_name", "\ud800.jpg", "images"), "no such member"),
    "image with a list for its id": (INSTANCES, spoil("id", [1], "images"), "is not described once"),
    "image without width": (INSTANCES, spoil("width", ..., "images"), "not as described"),
    "image with text for its height": (INSTANCES, spoil("height", "40", "images"), "not as described"),
    "annotation without id": (INSTANCES, spoil("id", ..., "annotations"), "annotation 0 is no object with an id"),
    "map without name": (PANOPTIC, spoil("file_name", ..., "annotations"), "its panoptic map is not described once"),
    "map with null segments": (PANOPTIC, spoil("segments_info", None, "annotations"), "no list of annotations"),
    "map of no image": (PANOPTIC, spoil("image_id", {"a": 1}, "annotations"), "its panoptic map is not described once"),
    "map described twice": (
        PANOPTIC, lambda record: record["annotations"].append(record["annotations"][0]),
        "its panoptic map is not described once",
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
def test_a_bad_row_of_coco_removes_only_its_image(row, study, capsys):
    archive, change, reason = ROWS[row]
    change_records(*archive, change)
    study.write_text(study.read_text().replace("images: 10", "images: 12"))
    refused(study, "coco", capsys, reason, "(1 of 4 samples refused)")
    allow(study, 0.25)
    folder = shards(study, "coco")
    assert len(open_dataset(folder)) == 11 and "000000000100" not in open_dataset(folder).keys
    bad = [each for name, shard in report(folder).items() if name != "archives" for each in shard["refused"]]
    assert [each["key"] for each in bad] == ["000000000100"] and reason in bad[0]["reason"]


@pytest.mark.parametrize("value", [None, "100", 100.5, [100], True, -1])
def test_annotations_without_an_image_are_counted_and_bounded(value, study, capsys):
    change_records(*INSTANCES, spoil("image_id", value, "annotations"))
    refused(study, "coco", capsys, "image_id is no whole number (1 of 36 annotations)", "data.max_bad")
    allow(study, 0.05)
    folder = shards(study, "coco")
    assert len(open_dataset(folder)) == 10
    assert report(folder)["archives"]["annotations_trainval2017.zip"]["annotations_without_image"] == 1


def test_odd_categories_do_not_affect_the_rest(study):
    def change(record):
        record["categories"] += [{"name": "no id"}, {"id": [1], "name": "x"}, {"id": 9, "name": 3}]
        record["annotations"][0]["category_id"] = ["a"]
        del record["annotations"][1]["category_id"]

    change_records(*INSTANCES, change)
    assert len(open_dataset(shards(study, "coco"))) == 10


def test_a_split_that_an_archive_lacks_is_refused_with_what_it_has(study, capsys):
    change_records(*INSTANCES, lambda record: None)
    rezip(INSTANCES[0], lambda members: [("annotations/instances_val2017.json", content) for _, content in members])
    refused(study, "coco", capsys, "instances_train2017.json: no such member (there is instances_val2017.json)")


TURN = pa.struct([("from", pa.string()), ("value", pa.string())])
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
GOOD = {
    "id": "0", "image": {"bytes": encode_jpeg(releases.picture(0)), "path": "0.jpg"},
    "conversations": [{"from": "human", "value": "<image>\nwhat?"}, {"from": "gpt", "value": "this"}],
}  # fmt: skip


def invalid_text(*values: bytes) -> pa.Array:
    """Texts that are no Unicode, as a careless writer leaves them."""
    raw = pa.array(values, pa.binary())
    return pa.Array.from_buffers(pa.string(), len(raw), raw.buffers())


def table(rows: list[dict], **columns: pa.Array) -> pa.Table:
    """Rows in the released schema, some columns of another type."""
    kinds = {"id": pa.string(), "image": IMAGE, "conversations": pa.list_(TURN)}
    made = {name: pa.array([row[name] for row in rows], kind) for name, kind in kinds.items()}
    return pa.table({**made, **columns})


def one_bad(**changes: object) -> pa.Table:
    """Ten rows, of which the fourth is changed."""
    return table([{**GOOD, **changes} if number == 3 else GOOD for number in range(10)])


def turns(*values: tuple[str | None, str | None]) -> list[dict]:
    """A conversation."""
    return [{"from": speaker, "value": value} for speaker, value in values]


BAD_ROWS = {
    "null conversation": (one_bad(conversations=None), "no conversation"),
    "empty conversation": (one_bad(conversations=[]), "no conversation"),
    "null turn": (one_bad(conversations=[None, *GOOD["conversations"]]), "turn 0 is from None"),
    "null text": (
        one_bad(conversations=turns(("human", None), ("gpt", "a"))),
        "turn 0 is from 'human', or has no text",
    ),
    "nobody": (one_bad(conversations=turns((None, "a"), ("gpt", "a"))), "turn 0 is from None"),
    "empty answer": (one_bad(conversations=turns(("human", "a"), ("gpt", "  "))), "turn 1 is an empty answer"),
    "question alone": (one_bad(conversations=turns(("human", "a"))), "nothing is answered"),
    "no bytes": (one_bad(image={"bytes": None, "path": "x.jpg"}), "the image has no bytes"),
    "no image": (one_bad(image={"bytes": b"<html>", "path": "x.jpg"}), "row 3"),
    "mark without image": (one_bad(image=None), "1 times <image> for no image"),
    "no Unicode": (table([GOOD] * 10, id=invalid_text(*[b"0"] * 3, b"\xed\xa0\x80", *[b"0"] * 6)), "cannot be read"),
}


@pytest.fixture
def mathematics(study):
    """Write what the subset ``mathqa`` has, of which all ten rows are drawn."""

    def write(content: pa.Table) -> None:
        shutil.rmtree(OV / "mathqa")
        (OV / "mathqa").mkdir()
        pq.write_table(content, OV / "mathqa/train-00000-of-00001.parquet", row_group_size=4)

    return write


@pytest.mark.parametrize("bad", BAD_ROWS)
def test_a_bad_row_of_conversations_is_counted_by_key_and_reason(bad, mathematics, study, capsys):
    content, reason = BAD_ROWS[bad]
    mathematics(content)
    refused(study, "ov", capsys, reason, "(1 of 20 samples refused)", "data.max_bad")
    allow(study, 0.05)
    folder = shards(study, "ov")
    assert len(open_dataset(folder)) == 49 and read_manifest(folder)["subsets"]["mathqa"] == 9
    (one,) = [each for name, shard in report(folder).items() if name != "archives" for each in shard["refused"]]
    assert one["key"].startswith("ov-") and "mathqa" in one["reason"] and reason in one["reason"]


NUMBERS = pa.list_(pa.struct([("from", pa.string()), ("value", pa.int64())]))
WRONG_TYPES = {
    "numbers for texts": {"conversations": pa.array([[{"from": "gpt", "value": 1}]] * 10, NUMBERS)},
    "JSON for turns": {"conversations": pa.array([json.dumps(GOOD["conversations"])] * 10)},
    "no values": {"conversations": pa.array([[{"from": "gpt"}]] * 10)},
    "paths for images": {"image": pa.array(["a.jpg"] * 10)},
    "bytes for ids": {"id": pa.array([b"0"] * 10)},
}


@pytest.mark.parametrize("wrong", WRONG_TYPES)
def test_columns_of_another_type_are_reported_by_row(wrong, mathematics, study, capsys):
    mathematics(table([GOOD] * 10, **WRONG_TYPES[wrong]))
    refused(study, "ov", capsys, "mathqa", "row 0", "samples refused)")


def test_ids_may_be_numbers_or_absent(mathematics, study):
    mathematics(table([GOOD] * 10, id=pa.array([None, *range(9)], pa.int64())))
    assert len(open_dataset(shards(study, "ov"))) == 50


def test_missing_subsets_are_reported_and_the_manifest_has_the_counts(study, caplog):
    shutil.rmtree(OV / "cambrian(filtered_gpt4vo)")
    with caplog.at_level("INFO"):
        folder = shards(study, "ov")
    manifest = read_manifest(folder)
    assert manifest["subsets"] == {
        "chartqa(cauldron,llava_format)": 10, "magpie_pro(l3_80b_st)": 7, "mathqa": 10, "textcaps": 5,
        "vision_flan(filtered)": 18,
    }  # fmt: skip
    assert "cambrian(*" in manifest["absent_subsets"] and "mathqa" not in manifest["absent_subsets"]
    assert "general: 40 rows in 2 files, no folder of IconQA(*" in caplog.text
    assert "vision_flan(filtered): 18 samples" in caplog.text


def test_a_subset_with_too_few_rows_is_refused(mathematics, study, capsys):
    mathematics(table([GOOD] * 9))
    refused(study, "ov", capsys, "mathematics: 9 rows in 1 files", "10 are wanted", "run `sgt fetch llava-onevision`")


def test_files_of_other_systems_and_unused_subsets_are_ignored(study):
    before = open_dataset(shards(study, "ov"))
    contents = [before[place].files for place in range(50)]
    (OV / "mathqa/._train-00000-of-00002.parquet").write_bytes(b"Mac OS X")
    (OV / "__MACOSX/mathqa").mkdir(parents=True)
    (OV / "__MACOSX/mathqa/a.parquet").write_bytes(b"Mac OS X")
    (OV / "mine").mkdir()
    pq.write_table(pa.table({"question": ["?"]}), OV / "mine/a.parquet")
    after = open_dataset(shards(study, "ov"))
    assert [after[place].files for place in range(50)] == contents


def test_every_fetched_file_must_be_complete(study, capsys):
    files = {
        path.relative_to(OV).as_posix(): {"size": path.stat().st_size, "sha256": "0" * 64}
        for path in OV.rglob("*.parquet")
    }
    record = {"revision": "0" * 40, "licence": "none", "files": files}
    (OV / "fetched.json").write_text(json.dumps(record))
    shards(study, "ov")
    shutil.rmtree("results")
    gone = OV / "cambrian(filtered_gpt4vo)/train-00001-of-00002.parquet"
    content = gone.read_bytes()
    gone.write_bytes(content + b"x")
    refused(study, "ov", capsys, f"{gone}: has {len(content) + 1} bytes, {len(content)} were fetched")
    gone.unlink()
    refused(study, "ov", capsys, f"{gone}: no such file; run `sgt fetch llava-onevision`")
    (OV / "fetched.json").write_text(json.dumps({**record, "files": [1]}))
    refused(study, "ov", capsys, "fetched.json: damaged")
