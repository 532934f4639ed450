"""``sgt render`` and ``sgt preview``: what they write, and one line for what they cannot."""

import errno
import io
import json
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from sgt.commands.main import main
from sgt.config.datasets import Toyworld
from sgt.data.shards import ShardWriter, read_shard
from sgt.data.toyworld.dataset import write_shard
from sgt.proxies import PROXIES, render


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    path = tmp_path_factory.mktemp("scenes") / "shard-00000.tar"
    write_shard(path, Toyworld(source="toyworld", split="test", scenes=5), 0)
    return path


@pytest.fixture
def changed(scenes, tmp_path):
    """Write the scenes with a member of the third replaced; returns the shard."""

    def change(extension: str, content: bytes):
        path = tmp_path / "changed.tar"
        with ShardWriter(path) as shard:
            for place, sample in enumerate(read_shard(scenes)):
                shard.add(sample.key, {**sample.files, **({extension: content} if place == 2 else {})})
        return path

    return change


def fails_with_one_line(capsys, words: list, *said: str) -> None:
    assert main([str(word) for word in words]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if ": error: " in line]
    assert len(lines) == 1
    assert all(word in lines[0] for word in said), lines[0]


def test_a_truncated_tar_is_refused(scenes, tmp_path, capsys):
    cut = tmp_path / "cut.tar"
    cut.write_bytes(scenes.read_bytes()[:9000])
    for words in (["render", "edge", cut, tmp_path / "out.tar"], ["preview", cut, tmp_path / "out.png"]):
        fails_with_one_line(capsys, words, str(cut), "truncated", "make or fetch the shard again")
    assert list(tmp_path.iterdir()) == [cut]


def test_the_report_of_earlier_targets_does_not_stay_beside_others(scenes, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out.tar"
    assert main(["render", "edge", str(scenes), str(out)]) == 0
    earlier = out.read_bytes()

    def full(path, content) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(render, "write_json", full)
    fails_with_one_line(capsys, ["render", "segmentation", scenes, out], "No space left on device")
    assert out.read_bytes() != earlier and not out.with_suffix(".json").exists()


def test_a_corrupt_jpeg_is_refused_and_named(scenes, changed, tmp_path, capsys):
    whole = list(read_shard(scenes))[2]
    for content in (whole.get("jpg")[:300], b"not a picture"):
        shard = changed("jpg", content)
        words = ["render", "edge", shard, tmp_path / "out.tar"]
        fails_with_one_line(capsys, words, f"{shard}: {whole.key}.jpg", "corrupt", "1 of 5 samples refused")
    assert list(tmp_path.iterdir()) == [shard]


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", ["segmentation", "edge", "depth"])
@pytest.mark.parametrize("side", [12_000, 50_000])
def test_an_image_that_claims_to_be_huge_is_refused(name, side, scenes, changed, tmp_path, capsys):
    header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    shard = changed("jpg", content + b"\0\0\0\0IEND\xaeB`\x82")
    fails_with_one_line(capsys, ["render", name, shard, tmp_path / "out.tar"], ".jpg: ", "1 of 5 samples refused")
    assert list(tmp_path.iterdir()) == [shard]


def test_a_mask_of_the_wrong_size_is_refused_or_counted(scenes, changed, tmp_path, capsys):
    whole = list(read_shard(scenes))[2]
    record = whole.json()
    record["annotations"][0]["segmentation"]["size"] = [48, 47]
    shard = changed("json", json.dumps(record).encode())
    words = ["render", "segmentation", shard, tmp_path / "out.tar"]
    fails_with_one_line(capsys, words, f"{shard}: {whole.key}.json: annotation", "RLE of size [48, 47]")
    assert not (tmp_path / "out.tar").exists() and not (tmp_path / "out.json").exists()
    assert main([str(word) for word in [*words, "--max-bad", "0.2"]]) == 0
    (refused,) = json.loads((tmp_path / "out.json").read_text())["refused"]
    assert refused["key"] == whole.key and "RLE of size" in refused["reason"]
    assert len(list(read_shard(tmp_path / "out.tar"))) == 4


def test_an_unknown_proxy_is_named(scenes, tmp_path, capsys):
    fails_with_one_line(
        capsys, ["render", "edges", scenes, tmp_path / "out.tar"], "edges: unknown proxy", "depth, edge"
    )


def test_preview_shows_each_input_and_its_targets(scenes, tmp_path):
    out = tmp_path / "sheet.png"
    words = ["preview", str(scenes), str(out), "--count", "3", "--side", "96", "--proxies", "segmentation,inpainting"]
    assert main(words) == 0
    sheet = np.asarray(Image.open(out))
    first = next(read_shard(scenes))
    image = Image.open(io.BytesIO(first.get("jpg"))).convert("RGB")
    target = PROXIES["segmentation"].render(image, first).convert("RGB")
    for column, picture in ((0, image), (1, target), (3, image)):
        cell = sheet[26 : 26 + 96, 6 + column * 102 : 6 + column * 102 + 96]
        assert (cell == np.asarray(picture.resize((96, 96), Image.Resampling.NEAREST))).all()
    seen = sheet[26 : 26 + 96, 6 + 2 * 102 : 6 + 2 * 102 + 96]
    assert (seen != np.asarray(image.resize((96, 96), Image.Resampling.NEAREST))).any()
    assert sheet.shape == (20 + 6 + 3 * 102, 6 + 4 * 102, 3)


def test_preview_leaves_out_what_a_shard_has_no_data_for(scenes, tmp_path, caplog):
    shard = tmp_path / "bare.tar"
    with ShardWriter(shard) as writer:
        for sample in read_shard(scenes):
            writer.add(sample.key, {"jpg": sample.get("jpg")})
    with caplog.at_level("WARNING"):
        assert main(["preview", str(shard), str(tmp_path / "out.png"), "--side", "48"]) == 0
    left_out = {record.args[0] for record in caplog.records}
    assert left_out == {name for name, proxy in PROXIES.items() if proxy.needs} and "segmentation" in left_out
    columns = sum(1 + proxy.degrades for name, proxy in PROXIES.items() if name not in left_out)
    assert Image.open(tmp_path / "out.png").width == 6 + (1 + columns) * 54


def test_preview_says_what_is_wrong_with_its_arguments(scenes, tmp_path, capsys):
    out = tmp_path / "out.png"
    fails_with_one_line(capsys, ["preview", scenes, out, "--count", "0"], "--count: must be at least 1, got 0")
    fails_with_one_line(capsys, ["preview", scenes, out, "--proxies", "depth,x"], "x: unknown proxy")
    for options, problem in (
        ('["edge"]', "--options: not a JSON object of objects"),
        ('{"mine": {"method": "canny"}}', "--options: no task; add task, one of segmentation"),
        ('{"mine": {"task": "edges"}}', "--options: unknown task 'edges'; use one of segmentation"),
        ('{"mine": {"task": "edge", "sigma": 2}}', "--options: method gradient has no sigma"),
        ('{"mine": {"task": "edge", "method": "canny", "low": "a"}}', "--options low: "),
    ):
        fails_with_one_line(capsys, ["preview", scenes, out, "--options", options], problem)
    empty = tmp_path / "empty.tar"
    with ShardWriter(empty):
        pass
    fails_with_one_line(capsys, ["preview", empty, out], "empty.tar: has no samples")
