"""Archives as found in practice: files of other systems, incomplete samples, and hostile members."""

import json
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from sgt.commands.main import main
from sgt.data.dataset import open_dataset
from sgt.data.images import encode_jpeg
from sgt.data.manifest import read_manifest
from sgt.data.sources.archives import Archive
from sgt.errors import SgtError
from tests.data.sources import releases
from tests.data.sources.conftest import allow, refused, report, rezip, shards

TARS = Path("downloads/sam-sgt/sam_selection")


def sample(number: int, image: str = "jpg", record: str = "json") -> dict[str, bytes]:
    """The members of an SA-1B sample."""
    return {
        f"sa_{number}.{image}": encode_jpeg(releases.picture(number)),
        f"sa_{number}.{record}": json.dumps(releases.sa_record(number)).encode(),
    }


def write_tar(members: list[tuple[str, bytes]]) -> None:
    """The first tar of SAM-SGT."""
    with tarfile.open(TARS / "sam_selection-00001.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in members:
            releases.add(tar, name, content)


FOREIGN = ["._sa_1.jpg", ".DS_Store", "__MACOSX/._sa_1.json", "Thumbs.db", "LICENSE", "README.md", "v1.0/notes.txt"]


def test_foreign_files_in_a_tar_are_skipped_and_it_is_used_in_place(study, caplog):
    samples = {f"v1.0/{name}": content for number in range(1, 7) for name, content in sample(number, "JPG").items()}
    write_tar([*((name, b"x") for name in FOREIGN), *samples.items()])
    with caplog.at_level("INFO"):
        folder = shards(study, "sam")
    assert (folder / "shard-00000.tar").is_symlink()
    dataset = open_dataset(folder)
    assert dataset.keys[:6] == [f"sa_{number}" for number in range(1, 7)]
    assert dataset[3].get("jpg") == encode_jpeg(releases.picture(4)) and dataset[3].json() == releases.sa_record(4)
    summary = report(folder)["archives"]["sam_selection-00001.tar"]
    assert summary == {"not_listed": 0, "passed_over": 7, "examples": FOREIGN[:5]}
    assert "sam_selection-00001.tar: 7 passed over, e.g. ._sa_1.jpg" in caplog.text


def spoilt(field: str, value: object) -> bytes:
    """The record of sa_3, one of its annotations changed."""
    record = releases.sa_record(3)
    record["annotations"][1][field] = value
    return json.dumps(record).encode()


BAD = {
    "no image": ({"sa_3.json": b'{"annotations": []}'}, "no .jpg member (it has json)"),
    "no record": ({"sa_3.jpg": sample(3)["sa_3.jpg"]}, "no .json member (it has jpg)"),
    "twice": ({**sample(3), "x/sa_3.jpg": sample(4)["sa_4.jpg"]}, "more than one .jpg member"),
    "twice, by case": ({**sample(3), "sa_3.JPEG": sample(3)["sa_3.jpg"]}, "more than one .jpg member"),
    "no JSON": ({**sample(3), "sa_3.json": b"<html>"}, "not valid JSON"),
    "no object": ({**sample(3), "sa_3.json": b"[1]"}, "not a JSON object"),
    "no annotations": ({**sample(3), "sa_3.json": b"{}"}, "no list of annotations"),
    "null annotations": ({**sample(3), "sa_3.json": b'{"annotations": null}'}, "no list of annotations"),
    "numbers": ({**sample(3), "sa_3.json": b'{"annotations": [1, 2]}'}, "annotation 0 is no object with an id"),
    "null id": ({**sample(3), "sa_3.json": spoilt("id", None)}, "annotation 1 is no object with an id"),
    "no picture": ({**sample(3), "sa_3.jpg": b""}, "sa_3.jpg: "),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_sample_of_a_tar_is_counted_by_key_and_reason(bad, study, capsys):
    members, reason = BAD[bad]
    write_tar([item for number in (1, 2, 4, 5, 6) for item in sample(number).items()] + list(members.items()))
    refused(study, "sam", capsys, "shard-00000.tar", reason, "(1 of 6 samples refused)", "data.max_bad")
    assert [each["key"] for each in report(Path("results/shards/sam"))["shard-00000.tar"]["refused"]] == ["sa_3"]
    allow(study, 0.2)
    folder = shards(study, "sam")
    assert open_dataset(folder).keys[:5] == ["sa_1", "sa_2", "sa_4", "sa_5", "sa_6"]
    (one,) = report(folder)["shard-00000.tar"]["refused"]
    assert one["key"] == "sa_3" and reason in one["reason"]


def test_a_tar_with_a_duplicate_sample_is_not_used_in_place(study, capsys):
    write_tar([item for number in (1, 2, 3, 4, 5, 6, 1) for item in sample(number).items()])
    refused(study, "sam", capsys, "more than one .jpg member", "(1 of 6 samples refused)")


def test_a_shard_of_bad_samples_only_is_refused(study, capsys):
    write_tar([(f"sa_{number}.json", b"{}") for number in range(1, 7)])
    allow(study, 0.99)
    refused(study, "sam", capsys, "shard-00000.tar", "no .jpg member", "(6 of 6 samples refused)")


def test_a_shard_without_samples_is_not_rendered(study, capsys):
    write_tar([("README.md", b"x")])
    empty = TARS / "sam_selection-00001.tar"
    assert main(["render", "edge", str(empty), "targets.tar"]) == 1
    assert f"{empty}: holds no samples; make the shard again" in capsys.readouterr().err
    assert not list(Path().glob("targets*"))


def test_foreign_files_in_a_zip_are_skipped(study, caplog):
    before = open_dataset(shards(study, "coco"))
    contents = [before[place].files for place in range(10)]
    shutil.rmtree("results")

    def change(members):
        foreign = [f"__MACOSX/{name.rpartition('/')[0]}/._{name.rpartition('/')[2]}" for name, _ in members[1:4]]
        same = [f"__MACOSX/{name}" for name, _ in members[1:4]]
        renamed = [(f"v1.0/{name.replace('.jpg', '.JPG')}", content) for name, content in members]
        return [*((name, b"Mac OS X") for name in [*foreign, *same, "a/.DS_Store"]), ("LICENSE", b"x"), *renamed]

    rezip("train2017.zip", change)
    rezip("annotations_trainval2017.zip", change)
    with caplog.at_level("INFO"):
        folder = shards(study, "coco")
    after = open_dataset(folder)
    assert [after[place].files for place in range(10)] == contents
    assert report(folder)["archives"]["train2017.zip"]["passed_over"] == 8
    assert "train2017.zip: 8 passed over, e.g. __MACOSX/" in caplog.text
    assert read_manifest(folder)["subsets"] == {"train2017": 10}


def member(name: str, mode: int) -> zipfile.ZipInfo:
    """A member with a Unix mode."""
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


@pytest.mark.parametrize(
    "hostile",
    [
        zipfile.ZipInfo("../../escape.jpg"), zipfile.ZipInfo("/tmp/escape.jpg"), zipfile.ZipInfo("C:\\escape.jpg"),
        zipfile.ZipInfo("..\\escape.jpg"), member("a.jpg", 0o120777), member("a.jpg", 0o020666),
    ],
)  # fmt: skip
def test_a_zip_with_hostile_names_links_or_devices_is_refused(hostile, study, capsys):
    rezip("train2017.zip", lambda members: [*members, (hostile, b"/etc/passwd")])
    refused(study, "coco-few", capsys, "train2017.zip: ", "its name leads elsewhere, or it is a link or device")


def test_a_zip_with_a_name_cut_by_a_nul_is_refused(study, capsys):
    rezip("train2017.zip", lambda members: [*members, ("aXescape.jpg", b"x")])
    archive = Path("downloads/coco-2017/train2017.zip")
    archive.write_bytes(archive.read_bytes().replace(b"aXescape", b"a\0escape"))
    refused(study, "coco-few", capsys, "train2017.zip: ", "leads elsewhere")


def test_a_duplicate_image_is_a_bad_sample(study, capsys):
    key = open_dataset(shards(study, "coco-few")).keys[1]
    shutil.rmtree("results")
    rezip("train2017.zip", lambda members: [*members, (f"again/{key}.jpg", b"x")])
    refused(study, "coco-few", capsys, f"{key}.jpg: there 2 times", "(1 of 4 samples refused)")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_member_is_an_error_in_one_line_whatever_compressed_it(method, tmp_path):
    path, content = tmp_path / "images.zip", json.dumps({"images": [{"id": number} for number in range(999)]}).encode()
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a.json", content)
        # The local header has 30 bytes and the name.
        start, size = 30 + len("a.json"), archive.infolist()[0].compress_size
    damaged = bytearray(path.read_bytes())
    damaged[start : start + size] = bytes(255 - byte for byte in damaged[start : start + size])
    path.write_bytes(damaged)
    with pytest.raises(SgtError, match=r"a\.json: damaged"):
        Archive(path).read("a.json")
    with pytest.raises(SgtError, match=r"a\.json"):
        list(Archive(path).items("a.json", "images"))
