"""``sgt render`` and ``sgt preview`` on pictures in files of their own: photographs, and folders of them."""

import json
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from sgt.commands.main import main
from sgt.data.pictures import picture_files, read_pictures
from sgt.data.shards import ShardWriter, read_shard
from sgt.proxies.render import read_target
from tests.proxies.test_commands import fails_with_one_line


def picture(seed: int, size: tuple[int, int] = (40, 30)) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture
def photos(tmp_path) -> Path:
    """A folder as people have them: several formats, a photograph that lies on its side, names of all kinds."""
    folder = tmp_path / "photos"
    (folder / "2024" / "été").mkdir(parents=True)
    (folder / ".thumbnails").mkdir()
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    picture(0).save(folder / "beach.JPG", exif=exif, quality=95)
    picture(1).save(folder / "beach.png")
    picture(2).save(folder / "2024" / "Photo 12 (1).webp", lossless=True)
    picture(3).save(folder / "2024" / "été" / "plage.tiff")
    picture(4).save(folder / ".thumbnails" / "beach.jpg")
    (folder / "notes.txt").write_text("not a picture")
    (folder / "link.png").symlink_to(folder / "beach.png")
    return folder


def run(*words: object) -> None:
    assert main([str(word) for word in words]) == 0


def test_a_folder_is_read_recursively_under_keys_from_its_names(photos):
    files = picture_files([photos])
    assert [file.name for file in files] == ["2024/Photo 12 (1).webp", "2024/été/plage.tiff", "beach.JPG", "beach.png"]
    keys = [sample.key for sample in read_pictures(files)]
    assert keys[:2] == ["2024_Photo_12_1_", "2024_t_plage"]
    assert all(key.startswith("beach-") for key in keys[2:])
    assert len(set(keys)) == 4


def test_targets_of_pictures_are_those_of_a_shard_of_them(photos, tmp_path):
    shard = tmp_path / "shard.tar"
    samples = list(read_pictures(picture_files([photos])))
    with ShardWriter(shard) as writer:
        for sample in samples:
            writer.add(sample.key, sample.files)
    run("render", "edge", shard, tmp_path / "targets.tar")
    run("render", "edge", photos, tmp_path / "targets")
    for rendered in read_shard(tmp_path / "targets.tar"):
        with Image.open(tmp_path / "targets" / f"{rendered.key}.png") as target:
            assert np.array_equal(target.convert("RGB"), read_target(rendered))
    report = json.loads((tmp_path / "targets/report.json").read_text())
    assert report["images"] == 4
    assert report["pictures"] == {
        sample.key: file.name for sample, file in zip(samples, picture_files([photos]), strict=True)
    }
    with Image.open(tmp_path / "targets" / f"{samples[2].key}.png") as upright:
        assert upright.size == (30, 40)


def test_a_name_in_another_encoding_is_escaped_in_the_report(tmp_path):
    (tmp_path / "photos").mkdir()
    picture(0).save(tmp_path / "photos/cafe.png")
    os.rename(tmp_path / "photos/cafe.png", os.fsencode(tmp_path) + b"/photos/caf\xe9.png")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/photos/\xe8.png")).write_bytes(b"no picture")
    run("render", "edge", tmp_path / "photos", tmp_path / "targets", "--max-bad", "0.5")
    report = json.loads((tmp_path / "targets/report.json").read_text())
    assert report["pictures"] == {"caf_": "caf\\udce9.png", "_": "\\udce8.png"}
    assert [each["key"] for each in report["refused"]] == ["_"]


def test_a_target_that_is_the_picture_keeps_its_file(photos, tmp_path):
    run("render", "reconstruction", photos / "beach.png", tmp_path / "targets")
    assert (tmp_path / "targets/beach.png").read_bytes() == (photos / "beach.png").read_bytes()


def test_what_is_no_picture_is_refused_by_name_or_counted(photos, tmp_path, capsys):
    (photos / "text.jpg").write_text("not a picture")
    words = ["render", "edge", photos, tmp_path / "targets"]
    fails_with_one_line(capsys, words, str(photos / "text.jpg"), "not an image", "1 of 5 samples refused: text")
    assert not (tmp_path / "targets/report.json").exists()
    run(*words, "--max-bad", "0.2")
    report = json.loads((tmp_path / "targets/report.json").read_text())
    assert (report["images"], [each["key"] for each in report["refused"]]) == (4, ["text"])
    words = ["preview", photos / "text.jpg", tmp_path / "sheet.png"]
    fails_with_one_line(capsys, words, str(photos / "text.jpg"), "not an image")


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path, capsys):
    header = b"IHDR" + struct.pack(">IIBBBBB", 12_000, 12_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    (tmp_path / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IEND\xaeB`\x82")
    for words in (["render", "edge"], ["preview"]):
        words = [*words, tmp_path / "huge.png", tmp_path / "out"]
        fails_with_one_line(capsys, words, str(tmp_path / "huge.png"), "12000x12000 pixels is too large")


def test_what_cannot_be_rendered_ends_in_one_line(photos, tmp_path, capsys):
    empty, out = tmp_path / "empty", tmp_path / "out"
    empty.mkdir()
    for source, said in (
        ([empty], "no picture in it"),
        ([tmp_path / "none"], "no such file or folder"),
        ([photos / "beach.png", tmp_path / "none.tar"], "a shard is rendered or shown alone"),
        ([photos / "beach.png", photos / "beach.png"], "has the same name"),
    ):
        fails_with_one_line(capsys, ["render", "edge", *source, out], said)
    (empty / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    fails_with_one_line(capsys, ["render", "edge", empty, out], "1 other file (1 .heic)")
    fails_with_one_line(capsys, ["render", "edge", empty / "IMG_1.HEIC", out], "HEIC, which is not read")
    fails_with_one_line(capsys, ["render", "segmentation", photos, out], "needs json", "own-pictures")
    for inside in (photos, photos / "targets"):
        fails_with_one_line(capsys, ["render", "edge", photos, inside], "whose pictures are rendered")
    fails_with_one_line(capsys, ["render", "edge", photos / "beach.png", photos], "whose pictures are rendered")
    fails_with_one_line(capsys, ["render", "edge", photos, photos / "notes.txt"], "is a file")
    for name in ("targets.png", "targets.tar"):
        fails_with_one_line(capsys, ["render", "edge", photos, tmp_path / name], "has the name of a file")


def test_preview_shows_pictures_and_folders_beside_their_targets(photos, tmp_path):
    sheet = tmp_path / "sheet.png"
    words = ["--side", 40, "--proxies", "edge,deblur", "--record", tmp_path / "record.json"]
    run("preview", photos / "beach.png", photos / "2024", sheet, *words)
    with Image.open(sheet) as drawn:
        # Rows are as high as their pictures.
        assert drawn.size == (6 + 4 * 46, 20 + 6 + 3 * 36)
        shown = drawn.crop((6, 26, 46, 26 + 30))
    assert np.array_equal(shown, picture(1))


def test_a_large_picture_is_reduced_before_its_targets_are_made_for_a_sheet(tmp_path):
    large = picture(0, (2048, 1024))
    large.save(tmp_path / "large.png")
    large.resize((1024, 512), Image.Resampling.BICUBIC, reducing_gap=2.0).save(tmp_path / "small.png")
    for name in ("large", "small"):
        run("preview", tmp_path / f"{name}.png", tmp_path / f"sheet-{name}.png", "--proxies", "edge", "--side", 1024)
    sheets = [Image.open(tmp_path / f"sheet-{name}.png") for name in ("large", "small")]
    assert sheets[0].size == sheets[1].size == (6 + 2 * 1030, 26 + 512 + 6)
    assert np.array_equal(*sheets)


def test_files_of_a_folder_that_are_no_pictures_are_counted(photos, tmp_path, caplog):
    (photos / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    run("render", "edge", photos, tmp_path / "targets")
    (message,) = (message for message in caplog.messages if "passed over" in message)
    assert str(photos) in message and "2 other files" in message and "1 .heic" in message and "1 .txt" in message


def test_a_model_that_was_not_fetched_ends_the_command_before_any_picture(photos, tmp_path, capsys):
    options = {"annotator": {"kind": "sam2", "model": "downloads/sam2-1-hiera-large"}}
    words = ["render", "segmentation", photos, tmp_path / "targets", "--options", json.dumps(options)]
    fails_with_one_line(capsys, words, "downloads/sam2-1-hiera-large: no such folder", "sgt fetch sam2-1-hiera-large")
    named = json.dumps({"masks": {"task": "segmentation", **options}})
    words = ["preview", photos, tmp_path / "sheet.png", "--options", named]
    fails_with_one_line(capsys, words, "sgt fetch sam2-1-hiera-large")
    assert not (tmp_path / "targets").exists()


def test_progress_names_the_pictures(photos, tmp_path, caplog):
    with caplog.at_level("INFO", logger="sgt"):
        run("render", "edge", photos, tmp_path / "targets")
    assert any(f"edge {photos}: targets 4/4" in message for message in caplog.messages)
