"""Shards made from small files in the released formats, with any number of workers, and from hostile files."""

import io
import json
import os
import shutil
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from sgt.commands.main import main
from sgt.data.dataset import open_dataset
from sgt.data.images import encode_jpeg
from sgt.data.manifest import read_manifest
from sgt.data.shards import read_shard
from sgt.data.sources.llava_mixtures import MIXTURES, scaled
from tests.conftest import write_study
from tests.data.sources import releases
from tests.data.sources.conftest import ARMS, DATASETS, allow, fetched, refused, report, shards


@pytest.mark.parametrize("name", ["sam", "coco", "ov"])
def test_the_bytes_do_not_depend_on_the_workers(name, study):
    contents = []
    for workers in (1, 2):
        folder = shards(study, name, workers)
        contents.append({path.name: path.read_bytes() for path in sorted(folder.iterdir())})
        shutil.rmtree(folder)
    assert contents[0] == contents[1]
    assert {"manifest.json", "report.json", "shard-00000.tar"} <= contents[0].keys()


def test_sam_tars_are_used_in_place_or_copied_without_unlisted_images(study):
    folder = shards(study, "sam")
    first, second = folder / "shard-00000.tar", folder / "shard-00001.tar"
    assert (
        first.is_symlink()
        and first.resolve() == Path("downloads/sam-sgt/sam_selection/sam_selection-00001.tar").resolve()
    )
    assert not os.path.isabs(os.readlink(first)) and not second.is_symlink()
    assert [sample.key for sample in read_shard(first)] == [f"sa_{number}" for number in range(1, 7)]
    assert [sample.key for sample in read_shard(second)] == [f"sa_{number}" for number in (7, 8, 10, 11, 12)]
    (sample,) = [sample for sample in read_shard(second) if sample.key == "sa_10"]
    assert sample.json() == releases.sa_record(10) and sample.get("jpg") == encode_jpeg(releases.picture(10))
    summary = report(folder)
    assert summary["shard-00001.tar"] == {"images": 5, "masks_per_image": 3.0, "refused": []}
    assert summary["archives"]["sam_selection-00002.tar"] == {"not_listed": 1, "passed_over": 0, "examples": []}
    assert read_manifest(folder)["subsets"] == {"sam_selection-00001.tar": 6, "sam_selection-00002.tar": 5}
    assert read_manifest(folder)["revision"] == "0" * 40 and len(open_dataset(folder)) == 11


def test_without_a_list_every_image_is_wanted(study):
    Path("downloads/sam-sgt/file_names/sam_190k_new.txt").unlink()
    assert len(open_dataset(shards(study, "sam"))) == 12


def test_coco_images_have_their_annotations_and_maps(study):
    folder = shards(study, "coco")
    dataset = open_dataset(folder)
    assert len(dataset) == 10 and len(set(dataset.keys)) == 10
    for sample in (dataset[place] for place in range(10)):
        number = int(sample.key)
        record = sample.json()
        assert sample.get("jpg") == encode_jpeg(releases.picture(number))
        assert record["image"] == {"image_id": number, "width": 60, "height": 40, "file_name": f"{number:012d}.jpg"}
        wanted = releases.coco_annotations(number)
        assert [each["segmentation"] for each in record["annotations"]] == [each["segmentation"] for each in wanted]
        assert [each["category"] for each in record["annotations"]] == ["person", "car", "cat"]
        coded = np.asarray(Image.open(io.BytesIO(sample.get("panoptic.png"))), int)
        ids = coded @ [1, 256, 65536]
        assert {segment["id"] for segment in record["segments"]} == set(np.unique(ids[ids > 0]).tolist())
        stuff = np.asarray(Image.open(io.BytesIO(sample.get("stuff.png"))))
        assert ((stuff == 92) == (ids > 0)).all()


def test_smaller_subsets_are_the_beginning_of_larger_ones(study):
    few, many = open_dataset(shards(study, "coco-few")).keys, open_dataset(shards(study, "coco")).keys
    assert many[:4] == few and sorted(many) != many
    changed = {**DATASETS, "coco": {**DATASETS["coco"], "seed": 1}}
    data = {"proxy": "coco", "vqa": "ov"}
    write_study(Path().resolve(), datasets=changed, data=data, benchmarks=["toyworld-qa"], arms=ARMS)
    model = Path("config/models/micro.yaml")
    model.write_text(model.read_text().replace("dataset: pretrain", "dataset: scenes"))
    assert open_dataset(shards(study, "coco")).keys != many


def test_conversations_are_drawn_in_the_papers_proportions(study):
    folder = shards(study, "ov")
    dataset = open_dataset(folder)
    records = [dataset[place].json() for place in range(len(dataset))]
    assert Counter(record["category"] for record in records) == {
        "general": 18, "document": 10, "mathematics": 10, "language": 7, "ocr": 5,
    }  # fmt: skip
    assert len({(record["subset"], record["id"]) for record in records}) == 50
    for place, record in enumerate(records):
        sample, number = dataset[place], int(record["id"])
        if record["category"] == "language":
            assert set(sample.files) == {"json"}
            assert record["conversations"] == releases.conversation(f"what is number {number}?")
        else:
            pixels = np.asarray(Image.open(io.BytesIO(sample.get("jpg"))).convert("RGB")).astype(int)
            assert np.abs(pixels - releases.picture(number)).mean() < 3
            assert record["conversations"][0]["value"].startswith("<image>")


def test_the_mixtures_add_up_to_the_published_totals():
    totals = {name: sum(category.count for category in categories) for name, categories in MIXTURES.items()}
    assert totals == {"paper": 501_000, "script": 74_000}
    for categories in MIXTURES.values():
        for total in (1, 17, 1000, 74_001):
            counts = [category.count for category in scaled(categories, total)]
            assert sum(counts) == total
            whole = sum(category.count for category in categories)
            assert all(
                abs(count - category.count * total / whole) < 1
                for count, category in zip(counts, categories, strict=True)
            )


def test_a_bad_sample_is_counted_and_bounded(study, capsys):
    archive = Path("downloads/coco-2017/train2017.zip")
    with zipfile.ZipFile(archive) as whole:
        members = {name: whole.read(name) for name in whole.namelist()}
    bad = open_dataset(shards(study, "coco")).keys[5]
    shutil.rmtree("results")
    members[f"train2017/{bad}.jpg"] = members[f"train2017/{bad}.jpg"][:200]
    archive.write_bytes(releases.zipped(members))
    refused(study, "coco", capsys, "shard-00001.tar", "corrupt", "(1 of 4 samples refused)", "data.max_bad")
    allow(study, 0.25)
    folder = shards(study, "coco")
    assert [each["key"] for each in report(folder)["shard-00001.tar"]["refused"]] == [bad]
    assert [shard["count"] for shard in read_manifest(folder)["shards"]] == [4, 3, 2]


def test_a_missing_download_is_refused(study, capsys):
    Path("downloads/coco-2017/fetched.json").unlink()
    refused(study, "coco", capsys, "fetched.json: was not fetched, or not completely; run `sgt fetch coco-2017`")
    fetched(Path("downloads/coco-2017"))
    Path("downloads/coco-2017/train2017.zip").unlink()
    refused(study, "coco", capsys, "train2017.zip: no such file; run `sgt fetch coco-2017`")
    shutil.rmtree("downloads/llava-onevision/mathqa")
    refused(study, "ov", capsys, "mathematics: 0 rows in 0 files, no folder of CLEVR-Math(*", "; 10 are wanted")
    assert main(["shards", str(study), "scenes"]) == 1
    assert "use one of coco, coco-few, ov, pianos, sam" in capsys.readouterr().err


def tar_with(name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"x", link: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.size = kind, link, len(content) if kind == tarfile.REGTYPE else 0
        tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        tar_with("../../escape.jpg"),
        tar_with("/tmp/escape.jpg"),
        tar_with("a/../escape.jpg"),
        tar_with("sa_1.jpg", tarfile.SYMTYPE, link="/etc/passwd"),
        tar_with("sa_1.jpg", tarfile.LNKTYPE, link="sa_2.jpg"),
        tar_with("C:\\sam\\sa_1.jpg"),
        tar_with("README.md"),
        tar_with("sa_1.jpg")[:512],
    ],
)
def test_hostile_tars_are_refused(content, study, capsys):
    Path("downloads/sam-sgt/sam_selection/sam_selection-00001.tar").write_bytes(content)
    refused(study, "sam", capsys, "sam_selection-00001.tar")
    assert not list(Path().rglob("escape*"))


def annotations_zip(content: bytes) -> bytes:
    return releases.zipped({"annotations/instances_train2017.json": content})


BOMBS = {
    "deep": b'{"images": [], "categories": [], "annotations": [' + b"[" * 200_000,
    "deep value": b'{"categories": [], "annotations": [{"image_id": 1, "x": ' + b"[" * 5000 + b"]" * 5000 + b"}]}",
    "cut": b'{"images": [], "categories": [], "annotations": [{"id": 1',
    "not JSON": b"<html>",
    "no number": b'{"categories": [], "annotations": [{"image_id": "../../x"}]}',
    "no list": b'{"annotations": {"image_id": 1}}',
    "no object": b'{"categories": [1, 2], "annotations": []}',
    "huge number": b'{"categories": [], "annotations": [{"image_id": 1' + b"0" * 400 + b"}]}",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_hostile_annotations_are_refused(bomb, study, capsys):
    Path("downloads/coco-2017/annotations_trainval2017.zip").write_bytes(annotations_zip(BOMBS[bomb]))
    refused(study, "coco-few", capsys, "annotations_trainval2017.zip: instances_train2017.json: ")


def test_folders_in_file_names_are_ignored(study, capsys):
    path = Path("downloads/coco-2017/annotations_trainval2017.zip")
    with zipfile.ZipFile(path) as whole:
        record = json.loads(whole.read("annotations/instances_train2017.json"))
    for image in record["images"]:
        image["file_name"] = f"../../../{image['file_name']}"
    path.write_bytes(annotations_zip(json.dumps(record).encode()))
    assert len(open_dataset(shards(study, "coco-few"))) == 4
    for image in record["images"]:
        image["file_name"] = "/etc/passwd"
    shutil.rmtree("results")
    path.write_bytes(annotations_zip(json.dumps(record).encode()))
    refused(study, "coco-few", capsys, "passwd: no such member")


def test_a_zip_bomb_is_refused_before_it_is_unpacked(study, capsys):
    with zipfile.ZipFile("downloads/coco-2017/train2017.zip") as whole:
        names = [name for name in whole.namelist() if name.endswith(".jpg")]
    with zipfile.ZipFile("downloads/coco-2017/train2017.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            with archive.open(name, "w", force_zip64=True) as member:
                for _ in range(257 if name == names[0] else 0):
                    member.write(bytes(2**20))
    study.write_text(study.read_text().replace("images: 4\n", "images: 12\n"))
    refused(study, "coco-few", capsys, "shard-00000.tar")
    assert Path("downloads/coco-2017/train2017.zip").stat().st_size < 2**20


@pytest.mark.parametrize(
    "name", ["train2017.zip", "annotations_trainval2017.zip", "panoptic_annotations_trainval2017.zip"]
)
def test_truncated_archives_are_refused(name, study, capsys):
    path = Path("downloads/coco-2017") / name
    path.write_bytes(path.read_bytes()[:-200])
    refused(study, "coco", capsys, name)


def test_damaged_parquet_is_refused(study, capsys):
    path = next(Path("downloads/llava-onevision/textcaps").glob("*.parquet"))
    whole = path.read_bytes()
    path.write_bytes(whole[:3000])
    refused(study, "ov", capsys, "textcaps", "truncated or not parquet")
    pq.write_table(pa.table({"id": ["1"] * 40}), path)
    refused(study, "ov", capsys, "no column 'image'")


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ([], "no conversation"),
        ([("system", "x")], "turn 0 is from 'system'"),
        ([("human", "<image> and <image>"), ("gpt", "x")], "2 times <image> for one image"),
        ([("human", "<image>")], "nothing is answered"),
        ([("human", "<image>"), ("gpt", "a"), ("human", "b"), ("gpt", " \n")], "turn 3 is an empty answer"),
        ([("human", "<image>"), ("gpt", None)], "turn 1 is from 'gpt', or has no text"),
        (None, "no conversation"),
    ],
)
def test_malformed_conversations_are_refused(turns, expected, study, capsys):
    folder = Path("downloads/llava-onevision/mathqa")
    image = {"bytes": encode_jpeg(releases.picture(0)), "path": "x"}
    conversation = None if turns is None else [{"from": who, "value": text} for who, text in turns]
    row = {"id": "1", "image": image, "conversations": conversation}
    schema = pq.read_schema(next(folder.glob("*.parquet")))
    for path in folder.glob("*.parquet"):
        pq.write_table(pa.Table.from_pylist([{**row, "data_source": "mathqa"}] * 20, schema), path)
    refused(study, "ov", capsys, expected)
