"""Lists of wanted images, however they are written, and the errors when they name nothing or too little."""

import csv
import json
from pathlib import Path

import pytest

from sgt.data.dataset import open_dataset
from sgt.data.records import read_rows
from sgt.data.sources import image_lists
from sgt.data.sources.image_lists import read_image_list
from sgt.errors import SgtError
from tests.data.sources.conftest import allow, refused, report, shards

NAMES = [f"sa_{number}" for number in range(1, 13)]
LIST = Path("downloads/sam-sgt/file_names/sam_190k_new.txt")


def lines(pattern: str, end: str = "\n") -> str:
    return "".join(pattern.format(name) + end for name in NAMES)


def objects(field: str, pattern: str = "{}.jpg") -> list[dict]:
    return [{"width": 60, field: pattern.format(name), "height": 40} for name in NAMES]


WRITTEN = {
    "names": lines("{}.jpg"),
    "without suffix": lines("{}"),
    "upper case": lines("{}.JPG"),
    "jpeg": lines("{}.jpeg"),
    "released": lines("/data/SAM-SGT/sam_selection/{}.jpg"),
    "windows": lines("D:\\sam data\\v1.0\\{}.jpg", "\r\n"),
    "network share": lines("\\\\host\\share\\{}.JPG", "\r\n"),
    "old mac": lines("{}.jpg", "\r"),
    "no end of line, blank lines": "\n\n".join(f"{name}.jpg" for name in NAMES),
    "comment": "# chosen by hand\n" + lines("{}.jpg"),
    "addresses": lines("https://host.example/a/{}.jpg?key=1,2#x"),
    "quoted": lines('"{}.jpg"'),
    "single quotes": lines("'{}.jpg'"),
    "spaces": lines("  {}.jpg  "),
    "labels": lines("{}.jpg 60 40"),
    "csv": lines("{}.jpg,60,40"),
    "csv with a header": "file_name,width,height\n" + lines("{}.jpg,60,40"),
    "csv of another order": "width,height,image\n" + lines("60,40,sam/{}.jpg"),
    "csv without suffix": "index,file_name,width\n" + lines("0,{},60"),
    "csv with commas in folders": lines('"D:\\a, b\\{}.jpg",60,40', "\r\n"),
    "semicolons": "Name;Width\r\n" + lines("{}.jpg;60", "\r\n"),
    "tabs": lines("{}.jpg\t60\t40"),
    "json names": json.dumps([f"{name}.jpg" for name in NAMES]),
    "json objects": json.dumps(objects("image", "sam/{}.jpg"), indent=1),
    "json in coco's layout": json.dumps({"info": {"name": "x"}, "images": objects("file_name"), "categories": []}),
    "json by name": json.dumps({f"{name}.jpg": {"width": 60} for name in NAMES}),
    "json nested": json.dumps([{"image": {"file_name": f"{name}.jpg", "id": 3}} for name in NAMES]),
    "json lines": "".join(json.dumps(each) + "\n" for each in objects("image")),
    "json lines, windows": "".join(json.dumps(each) + "\r\n" for each in objects("path", "D:\\sam\\{}.jpg")),
    "json lines with separators of lines in texts": "".join(
        json.dumps({"file_name": f"{name}.jpg", "caption": "one\u2028two\x85"}, ensure_ascii=False) + "\n"
        for name in NAMES
    ),
    "separators of lines in folders": lines("sam\u2028data/\x85/{}.jpg"),
    "json lines of texts": "".join(json.dumps(f"{name}.jpg") + "\n" for name in NAMES),
    "json lines without suffix": "".join(json.dumps({"id": name}) + "\n" for name in NAMES),
}
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("form", WRITTEN)
def test_lists_are_read_in_every_format(form, encoding, tmp_path):
    path = tmp_path / "list.txt"
    path.write_bytes(WRITTEN[form].encode(encoding))
    assert list(read_image_list(path).entries) == NAMES


@pytest.mark.parametrize("form", ["csv with a header", "windows", "json lines", "json names"])
def test_the_dataset_has_the_images_of_the_list(form, study):
    LIST.write_bytes(("\ufeff" + WRITTEN[form]).encode())
    assert open_dataset(shards(study, "sam")).keys == NAMES


def test_folders_in_another_encoding_do_not_matter(tmp_path):
    (tmp_path / "list.txt").write_bytes(lines("D:\\für\\{}.jpg").encode("cp1252"))
    assert list(read_image_list(tmp_path / "list.txt").entries) == NAMES


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "the list names no images"),
        (b"\xef\xbb\xbf\r\n \n", "the list names no images"),
        (b"[]", "the list names no images"),
        (b"file_name,width\n", "the list names no images"),
        (b'{"image_id": 1}\n{"image_id": 2}\n', "the list names no images"),
        (b'{"image": "a.jpg"}\n{"image": ', "neither one name a line, nor CSV, JSON or JSON lines"),
        (b"[" * 100_000, "neither one name a line"),
        (b"\x89PNG\0\0\0", "not a text"),
        (b'"' + b"x" * 200_000, "field larger than field limit"),
    ],
)
def test_malformed_lists_are_refused(content, expected, study, capsys):
    LIST.write_bytes(content)
    refused(study, "sam", capsys, f"{LIST}: ", expected)


def test_the_longest_entry_is_the_same_after_a_table_of_images_was_read(tmp_path):
    (tmp_path / "table.tsv").write_text("index\tquestion\n1\t" + "x" * 200_000 + "\n")
    (tmp_path / "list.txt").write_text('"' + "x" * 200_000)
    before = csv.field_size_limit()
    try:
        assert len(list(read_rows(tmp_path / "table.tsv", ["index"], "\t"))) == 1
        raised = csv.field_size_limit()
        with pytest.raises(SgtError, match="field larger than field limit"):
            read_image_list(tmp_path / "list.txt")
        assert csv.field_size_limit() == raised > 200_000
    finally:
        csv.field_size_limit(before)


def test_a_huge_list_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(image_lists, "MAX_LIST_BYTES", 10)
    (tmp_path / "list.txt").write_text("sa_1.jpg\nsa_2.jpg\n")
    with pytest.raises(SgtError, match="18 bytes is too large for a list"):
        read_image_list(tmp_path / "list.txt")


def test_a_list_that_names_no_image_of_a_tar_is_refused_with_examples(study, capsys):
    LIST.write_text("".join(f"photo_{name}.jpg\n" for name in NAMES))
    tar = "downloads/sam-sgt/sam_selection/sam_selection-00001.tar"
    refused(
        study, "sam", capsys, f"{LIST}: names none of the 6 images of {tar}", "'photo_sa_1.jpg', the tar 'sa_1.jpg'"
    )
    # All of the first tar, none of the second.
    LIST.write_text("".join(f"{name}.jpg\n" for name in NAMES[:6]))
    refused(study, "sam", capsys, "names none of the 6 images of ", "sam_selection-00002.tar", "the tar 'sa_10.jpg'")


def test_the_number_of_missing_images_is_bounded(study, capsys):
    LIST.write_text(lines("{}.jpg") + "sa_13.jpg\nsa_14.jpg\nsa_15.jpg\n")
    refused(
        study, "sam", capsys, f"{LIST}: 3 of the 15 images that it names are in none of 2 tars", "e.g. 'sa_13.jpg'",
        "data.max_bad",
    )  # fmt: skip
    allow(study, 0.2)
    assert len(open_dataset(shards(study, "sam"))) == 12


def test_a_list_may_name_missing_images_if_only_some_tars_are_used(study, caplog):
    study.write_text(study.read_text().replace("tars: 2", "tars: 1"))
    LIST.write_text(lines("{}.jpg"))
    with caplog.at_level("INFO"):
        assert len(open_dataset(shards(study, "sam"))) == 6
    assert "6 of the 12 images that it names are in none of 1 tars, e.g. 'sa_7.jpg'" in caplog.text


def test_images_that_are_not_listed_are_counted(study, caplog):
    LIST.write_text(lines("{}.jpg").replace("sa_1.jpg\nsa_2.jpg\n", ""))
    with caplog.at_level("INFO"):
        folder = shards(study, "sam")
    assert report(folder)["archives"]["sam_selection-00001.tar"]["not_listed"] == 2
    assert "sam_selection-00001.tar: 2 not listed" in caplog.text
    assert "sam_selection-00001.tar: 4 samples" in caplog.text
