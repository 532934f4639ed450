"""Shards and images: what is written comes back, and what is hostile or damaged ends in one line."""

import io
import json
import struct
import tarfile
import zlib

import numpy as np
import pytest
from PIL import Image

from sgt.data import shards
from sgt.data.images import decode_depth, decode_image, encode_jpeg, encode_png
from sgt.data.shards import ShardWriter, dataset_shards, read_manifest, read_shard, shard_name, write_manifest
from sgt.errors import SgtError

PIXELS = np.random.default_rng(0).integers(0, 255, (24, 20, 3), dtype=np.uint8)


def sample_files(number: int) -> dict[str, bytes]:
    return {"jpg": bytes([65 + number]) * 700, "depth.png": b"depth", "json": json.dumps({"n": number}).encode()}


@pytest.fixture
def shard(tmp_path):
    path = tmp_path / shard_name(0)
    with ShardWriter(path) as writer:
        for number in range(4):
            writer.add(f"key-{number}", sample_files(number))
    assert writer.count == 4
    return path


def tar_of(path, *members: tuple[tarfile.TarInfo, bytes]):
    with tarfile.open(path, "w") as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def test_samples_come_back_in_order(shard):
    samples = list(read_shard(shard))
    assert [sample.key for sample in samples] == [f"key-{number}" for number in range(4)]
    assert [sample.files for sample in samples] == [sample_files(number) for number in range(4)]
    assert [sample.json() for sample in samples] == [{"n": number} for number in range(4)]
    with pytest.raises(SgtError, match=r"key-0: no \.png member"):
        samples[0].get("png")


def test_bytes_depend_on_the_members_alone(shard, tmp_path):
    again = tmp_path / "again" / "other-name.tar"
    with ShardWriter(again) as writer:
        for number in range(4):
            writer.add(f"key-{number}", sample_files(number))
    assert again.read_bytes() == shard.read_bytes()


def test_nothing_is_left_when_writing_fails(tmp_path):
    with pytest.raises(RuntimeError, match="stop"), ShardWriter(tmp_path / "a.tar") as writer:
        writer.add("key", {"txt": b"x"})
        raise RuntimeError("stop")
    assert list(tmp_path.iterdir()) == []


def test_a_truncated_shard_never_passes_for_a_whole_one(shard):
    content = shard.read_bytes()
    whole = list(read_shard(shard))
    end = 512 * (4 * (2 + 2 + 3) + 1)  # every member and one block of zeros
    for cut in range(0, len(content), 128):
        shard.write_bytes(content[:cut])
        if cut >= end:
            assert list(read_shard(shard)) == whole
        else:
            with pytest.raises(SgtError, match="truncated"):
                list(read_shard(shard))


def test_a_damaged_header_is_not_taken_for_the_end(shard):
    content = bytearray(shard.read_bytes())
    content[content.index(b"key-2.jpg") + 3] ^= 1
    shard.write_bytes(content)
    with pytest.raises(SgtError, match="damaged after key-1"):
        list(read_shard(shard))


def test_a_missing_shard_and_another_format_are_named(tmp_path):
    with pytest.raises(SgtError, match="no such shard"):
        list(read_shard(tmp_path / "none.tar"))
    (tmp_path / "a.tar").write_bytes(b"PK" + bytes(2000))
    with pytest.raises(SgtError, match=r"a\.tar: truncated or not a tar"):
        list(read_shard(tmp_path / "a.tar"))


@pytest.mark.parametrize("name", ["../key.jpg", "/etc/key.jpg", "a/key.jpg", "./../key.jpg", "key", ".jpg", "k y.jpg"])
def test_names_that_lead_elsewhere_are_refused(tmp_path, name):
    path = tar_of(tmp_path / "a.tar", (tarfile.TarInfo(name), b"x"))
    with pytest.raises(SgtError, match="not a plain"):
        list(read_shard(path))
    with pytest.raises(SgtError, match="cannot name a member"), ShardWriter(tmp_path / "b.tar") as writer:
        writer.add(name.removesuffix(".jpg") if name != "key" else "key.", {"jpg": b"x"})


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE])
def test_members_that_are_not_plain_files_are_refused(tmp_path, kind):
    info = tarfile.TarInfo("key.jpg")
    info.type, info.linkname = kind, "/etc/passwd"
    with pytest.raises(SgtError, match="not a plain"):
        list(read_shard(tar_of(tmp_path / "a.tar", (info, b""))))


def test_a_member_that_claims_gigabytes_is_refused(tmp_path):
    info = tarfile.TarInfo("key.jpg")
    info.size = 2**33
    (tmp_path / "a.tar").write_bytes(info.tobuf() + bytes(1024))
    with pytest.raises(SgtError, match=r"too large|truncated"):
        list(read_shard(tmp_path / "a.tar"))


def test_names_with_a_leading_dot_slash_are_read(tmp_path):
    path = tar_of(tmp_path / "a.tar", (tarfile.TarInfo("./sa_1.jpg"), b"x"), (tarfile.TarInfo("./sa_1.json"), b"{}"))
    assert [(sample.key, set(sample.files)) for sample in read_shard(path)] == [("sa_1", {"jpg", "json"})]


@pytest.mark.parametrize(
    "content",
    [b"{", b"[1]", b"\xff\xfe\xfa", b"", b"nul", b"[" * 300_000, b'{"a":' * 300_000, b'{"a": 1' + b"0" * 5000 + b"}"],
)
def test_what_is_not_a_json_object_is_refused(tmp_path, content):
    path = tar_of(tmp_path / "a.tar", (tarfile.TarInfo("key.json"), content))
    with pytest.raises(SgtError, match=r"key\.json: not (valid JSON|a JSON object)"):
        next(read_shard(path)).json()


def test_a_huge_record_is_not_parsed(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "MAX_JSON_BYTES", 1000)
    path = tar_of(tmp_path / "a.tar", (tarfile.TarInfo("key.json"), b'{"a": "' + b"x" * 1000 + b'"}'))
    with pytest.raises(SgtError, match=r"key\.json: 1009 bytes is too large"):
        next(read_shard(path)).json()


def test_the_manifest_counts_and_hashes(shard):
    write_manifest(shard.parent, {shard.name: 4}, source="test")
    manifest = read_manifest(shard.parent)
    assert manifest["source"] == "test" and manifest["count"] == 4 and len(manifest["shards"][0]["sha256"]) == 64
    assert dataset_shards(shard.parent) == [shard]
    (shard.parent / "manifest.json").write_text("{")
    with pytest.raises(SgtError, match="not valid JSON"):
        read_manifest(shard.parent)
    (shard.parent / "manifest.json").unlink()
    with pytest.raises(SgtError, match="no manifest"):
        read_manifest(shard.parent)


def test_images_come_back(tmp_path):
    assert np.array_equal(np.asarray(decode_image(encode_png(PIXELS), "a")), PIXELS)
    flat = np.full((16, 16, 3), (200, 40, 90), np.uint8)
    assert np.abs(np.asarray(decode_image(encode_jpeg(flat), "a")).astype(int) - flat).max() <= 2
    depth = np.array([[0, 1, 65535], [300, 40000, 2]], np.uint16)
    assert np.array_equal(decode_depth(encode_png(depth), "a"), depth)
    with pytest.raises(SgtError, match="16-bit"):
        decode_depth(encode_png(PIXELS), "a")


def test_transparency_is_composited_on_white():
    alpha = np.zeros((24, 20, 1), np.uint8)
    image = decode_image(encode_png(np.concatenate([PIXELS, alpha], axis=2)), "a")
    assert image.mode == "RGB" and (np.asarray(image) == 255).all()


@pytest.mark.parametrize("encode", [encode_jpeg, encode_png])
def test_truncated_images_are_refused(encode):
    content = encode(PIXELS)
    for cut in range(0, len(content) - 64, 97):
        with pytest.raises(SgtError, match="photo: corrupt or not an image"):
            decode_image(content[:cut], "photo")


def test_other_formats_are_refused():
    for content in (b"", b"GIF89a", b"<svg/>"):
        with pytest.raises(SgtError, match="not an image"):
            decode_image(content, "photo")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [10_100, 60_000])
def test_a_png_header_that_claims_a_huge_image_is_refused(side):
    header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    with pytest.raises(SgtError, match=r"too large|exceeds limit"):
        decode_image(content + encode_png(PIXELS)[33:], "photo")


def test_random_damage_ends_in_an_image_or_in_one_line():
    rng = np.random.default_rng(1)
    for content in (encode_jpeg(PIXELS), encode_png(Image.fromarray(PIXELS).quantize(16))):
        refused = 0
        for _ in range(150):
            damaged = bytearray(content)
            for place in rng.integers(0, len(damaged), 3):
                damaged[place] = rng.integers(256)
            try:
                assert decode_image(bytes(damaged), "photo").mode == "RGB"
            except SgtError as error:
                refused += 1
                assert "\n" not in str(error)
        assert refused > 10
