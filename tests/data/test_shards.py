"""Shards and images: they are read back as written, and hostile or damaged ones end in a one-line error."""

import gc
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
from sgt.data.manifest import dataset_shards, read_manifest, shard_name, write_manifest
from sgt.data.shards import ShardWriter, read_shard, scan_shard
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
        writer.add("key", {"jpg": b"x"})
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


def test_a_damaged_header_is_not_mistaken_for_the_end(shard):
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


ELSEWHERE = [
    "../key.jpg",
    "/etc/key.jpg",
    "./../key.jpg",
    "a/../key.jpg",
    "C:\\key.jpg",
    "\\\\host\\key.jpg",
    "..\\key.jpg",
]


@pytest.mark.parametrize("name", ELSEWHERE)
def test_names_that_lead_elsewhere_are_refused(tmp_path, name):
    path = tar_of(tmp_path / "a.tar", (tarfile.TarInfo(name), b"x"))
    with pytest.raises(SgtError, match="leads elsewhere"):
        list(read_shard(path))


def test_a_name_cut_by_a_nul_is_refused(tmp_path):
    info = tarfile.TarInfo("x")
    info.pax_headers = {"path": "key.jpg\0.png"}
    with pytest.raises(SgtError, match="leads elsewhere"):
        list(read_shard(tar_of(tmp_path / "a.tar", (info, b"x"))))


@pytest.mark.parametrize(
    "name", [*ELSEWHERE, "a/key.jpg", "key.", ".jpg", "k y.jpg", "key.txt", "key.JPG", "k" * 97 + ".jpg"]
)
def test_names_that_cannot_be_members_are_not_written(tmp_path, name):
    key, _, extension = name.rpartition(".")
    with pytest.raises(SgtError, match="cannot name a member"), ShardWriter(tmp_path / "b.tar") as writer:
        writer.add(key, {extension: b"x"})


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE])
@pytest.mark.parametrize("name", ["key.jpg", "README.md"])
def test_links_and_devices_are_refused(tmp_path, kind, name):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    with pytest.raises(SgtError, match="a link or device"):
        list(read_shard(tar_of(tmp_path / "a.tar", (info, b""))))


FOREIGN = [
    "._key.jpg", ".DS_Store", "__MACOSX/._key.jpg", "__MACOSX/key.jpg", "Thumbs.db", "LICENSE", "README.md",
    "notes.txt", "@eaDir/key.jpg/thumb.jpg", "key.sh", "k y.jpg", "key",
]  # fmt: skip


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_files_that_belong_to_no_sample_are_skipped(tmp_path, form):
    folder = tarfile.TarInfo("v1.0 (final)")
    folder.type = tarfile.DIRTYPE
    path, names = tmp_path / "a.tar", [*FOREIGN[:6], "./v1.0 (final)/key.JPG", *FOREIGN[6:], "v1.0 (final)/other.jpeg"]
    with tarfile.open(path, "w", format=form) as tar:
        tar.addfile(folder)
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = 3
            if form == tarfile.PAX_FORMAT:
                info.pax_headers = {"SCHILY.xattr.user.mood": "good"}
            tar.addfile(info, io.BytesIO(b"abc"))
    passed_over = []
    assert [(member.key, member.extension) for member in scan_shard(path, passed_over)] == [
        ("key", "jpg"), ("other", "jpg"),
    ]  # fmt: skip
    assert passed_over == FOREIGN
    assert [(sample.key, sample.get("jpg")) for sample in read_shard(path)] == [("key", b"abc"), ("other", b"abc")]


def test_duplicate_and_oversized_members_are_unusable(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "MAX_MEMBER_BYTES", 1000)
    names = ["a.jpg", "a.JPEG", "a.json", "b.jpg", "b.json"]
    contents = [b"x", b"y", b"{}", b"x" * 1001, b"{}"]
    path = tar_of(tmp_path / "a.tar", *zip(map(tarfile.TarInfo, names), contents, strict=True))
    first, second = read_shard(path)
    with pytest.raises(SgtError, match=r"a\.tar: a: more than one \.jpg member; leave this sample out"):
        first.get("jpg")
    with pytest.raises(SgtError, match=r"a\.tar: b: 1001 bytes is too large for a \.jpg member"):
        second.get("jpg")
    assert first.json() == second.json() == {}


def test_an_empty_dataset_is_not_written(tmp_path):
    for name in ("shard-00000.tar", "shard-00001.tar"):
        with ShardWriter(tmp_path / name):
            pass
    with pytest.raises(SgtError, match="0 samples in 2 shards make no dataset"):
        write_manifest(tmp_path, {"shard-00000.tar": 0, "shard-00001.tar": 0}, source="test")
    assert not (tmp_path / "manifest.json").exists()


def test_a_member_that_claims_gigabytes_is_refused(tmp_path):
    info = tarfile.TarInfo("key.jpg")
    info.size = 2**33
    (tmp_path / "a.tar").write_bytes(info.tobuf() + bytes(1024))
    with pytest.raises(SgtError, match=r"too large|truncated"):
        list(read_shard(tmp_path / "a.tar"))


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
@pytest.mark.parametrize("size", [2**70, 2**63, 2**40, -1, -512, -(2**40)])
def test_headers_with_impossible_sizes_are_refused(tmp_path, kind, size):
    info = tarfile.TarInfo("key.jpg")
    info.size, info.type = 0, kind
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    # As GNU tar writes what does not fit into octal digits: base 256.
    header[124:136] = (b"\x80" if size >= 0 else b"\xff") + (size % 256**11).to_bytes(11, "big")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / "a.tar").write_bytes(header + bytes(2048))
    with pytest.raises(SgtError, match=r"a\.tar: truncated"):
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


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_tarfile_reads_the_headers_alone_that_are_not_plain(tmp_path, form, monkeypatch):
    """A folder and a long name; the plain headers after them are read by our own code again."""
    path, long = tmp_path / "a.tar", "b" * 120
    with tarfile.open(path, "w", format=form) as tar:
        folder = tarfile.TarInfo("./")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name in ("./a.jpg", "./a.json", f"{long}.jpg", "./c.JPEG", "c.json"):
            info = tarfile.TarInfo(name)
            info.size = 3
            tar.addfile(info, io.BytesIO(b"abc"))
    seen, read_header = [], tarfile.TarInfo.frombuf
    monkeypatch.setattr(tarfile.TarInfo, "frombuf", lambda *words: seen.append(header := read_header(*words)) or header)
    members = [(member.key, member.extension) for member in scan_shard(path)]
    assert members == [("a", "jpg"), ("a", "json"), (long, "jpg"), ("c", "jpg"), ("c", "json")]
    assert len(seen) > 2
    assert not {"./a.jpg", "./a.json", "./c.JPEG", "c.json"} & {header.name for header in seen}


def test_memory_does_not_grow_with_the_members_of_a_tar(tmp_path):
    """A time with a fraction has an extended header, as of files that tarfile adds."""
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        for number in range(200):
            info = tarfile.TarInfo(f"{number}.jpg")
            info.size, info.mtime = 3, 1234.5
            tar.addfile(info, io.BytesIO(b"abc"))
    del tar, info
    for member in scan_shard(tmp_path / "a.tar"):
        if member.key == "199":
            assert sum(type(each) is tarfile.TarInfo for each in gc.get_objects()) < 20
            break
    else:
        pytest.fail("the last member was not read")
