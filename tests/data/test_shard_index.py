"""The index beside shards: it never differs from their headers, whatever happens to files, and takes little memory."""

import json
import multiprocessing
import os
import tracemalloc

import pytest

from sgt.data import shard_index
from sgt.data.dataset import ShardDataset
from sgt.data.shard_index import INDEX, WRITTEN_FROM
from sgt.data.shards import Member, ShardWriter, read_shard
from sgt.errors import SgtError

SAMPLES = 40
NAMES = ["shard-00000.tar", "shard-00001.tar"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two shards that count as written a while ago, and an index for however few samples."""
    monkeypatch.setattr(shard_index, "WRITTEN_FROM", 1)
    monkeypatch.setattr(shard_index, "SETTLED", -60)
    for number, name in enumerate(NAMES):
        write(tmp_path / name, [f"{number}-{sample}" for sample in range(SAMPLES)])
    return tmp_path


def write(path, keys: list[str]):
    with ShardWriter(path) as shard:
        for place, key in enumerate(keys):
            shard.add(key, {"jpg": key.encode() * (place + 1), "json": json.dumps({"key": key}).encode()})


def opened(folder) -> ShardDataset:
    return ShardDataset([folder / name for name in NAMES])


def keys_of(folder) -> list[str]:
    return opened(folder).keys


def streamed(folder) -> list:
    return [sample for name in NAMES for sample in read_shard(folder / name)]


def forbid_scanning(monkeypatch):
    def scanned(path):
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr(shard_index, "scan_shard", scanned)


def test_what_is_opened_from_the_index_is_what_the_headers_have(folder, monkeypatch):
    expected = streamed(folder)
    assert list(opened(folder)) == expected
    forbid_scanning(monkeypatch)
    again = opened(folder)
    assert list(again) == expected and again.keys == [sample.key for sample in expected]
    assert [again.name(index) for index in (0, 79)] == [f"{folder / NAMES[0]}: 0-0", f"{folder / NAMES[1]}: 1-39"]


@pytest.mark.parametrize("change", ["other samples", "the same size and time", "one more"])
def test_a_changed_shard_is_read_again_and_the_others_are_not(folder, change, monkeypatch):
    opened(folder)
    keys = [sample.key for sample in read_shard(folder / NAMES[1])]
    changed = {"other samples": ["x", "y"], "the same size and time": keys[::-1], "one more": [*keys, "new"]}[change]
    before = os.stat(folder / NAMES[1])
    write(folder / NAMES[1], changed)
    os.utime(folder / NAMES[1], ns=(before.st_atime_ns, before.st_mtime_ns))
    read = []
    scan = shard_index.scan_shard
    monkeypatch.setattr(shard_index, "scan_shard", lambda path: read.append(path.name) or scan(path))
    for _ in range(2):
        assert list(opened(folder)) == streamed(folder)
    assert read == [NAMES[1]]


@pytest.mark.parametrize("cut", [100, 512 * 40])
def test_a_shard_that_was_truncated_since_is_refused(folder, cut):
    opened(folder)
    path = folder / NAMES[1]
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(SgtError, match=r"shard-00001\.tar: truncated"):
        opened(folder)
    path.unlink()
    with pytest.raises(SgtError, match="no such shard"):
        opened(folder)


def test_nothing_is_recorded_of_a_shard_that_was_just_written(folder, monkeypatch):
    opened(folder)
    monkeypatch.setattr(shard_index, "SETTLED", 60)
    write(folder / NAMES[1], ["x"])
    opened(folder)
    forbid_scanning(monkeypatch)
    ShardDataset([folder / NAMES[0]])
    with pytest.raises(AssertionError, match="shard-00001"):
        opened(folder)


def damages(content: bytes) -> dict[str, bytes]:
    header, _, rest = content.partition(b"\n")
    about = json.loads(header)
    about["shards"][0]["samples"] += 1
    longer = json.dumps(about).encode() + b"\n" + rest
    about["shards"][0]["samples"] = -1
    negative = json.dumps(about).encode() + b"\n" + rest
    about["shards"][0]["samples"] = 10**20
    return {
        "empty": b"",
        "no JSON": b"\x80\x04" + content,
        "another kind": b"[]\n" + rest,
        "another version": content.replace(b'"version": 1', b'"version": 0'),
        "cut": content[:-100],
        "one bit": content[:-200] + bytes([content[-200] ^ 1]) + content[-199:],
        "a longer table": longer,
        "a negative length": negative,
        "a length beyond all memory": json.dumps(about).encode() + b"\n" + rest,
        "another extension": content.replace(b'"jpg"', b'"png"'),
    }


@pytest.mark.parametrize("damage", damages(b'{"version": 1, "shards": [{"samples": 1}]}\n' + bytes(300)))
def test_a_damaged_index_is_not_used(folder, damage):
    expected = list(opened(folder))
    index = folder / INDEX
    whole = index.read_bytes()
    index.write_bytes(damages(whole)[damage])
    assert index.read_bytes() != whole and list(opened(folder)) == expected
    assert index.read_bytes() == whole


def test_a_folder_that_cannot_be_written_is_opened_all_the_same(folder, monkeypatch, caplog):
    # By the error, since root may write everywhere.
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(shard_index, "atomic_path", refuse)
    with caplog.at_level("INFO"):
        assert list(opened(folder)) == streamed(folder)
    assert not (folder / INDEX).exists() and f"{INDEX}: not written (Permission denied)" in caplog.text


def test_processes_that_open_at_once_have_the_same_and_leave_a_whole_index(folder, monkeypatch):
    expected = [sample.key for sample in streamed(folder)]
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert pool.map(keys_of, [folder] * 8, chunksize=1) == [expected] * 8
    assert sorted(os.listdir(folder)) == [*NAMES, INDEX]
    forbid_scanning(monkeypatch)
    assert opened(folder).keys == expected


def test_a_part_of_the_shards_keeps_what_is_known_of_the_others(folder, monkeypatch):
    for name in NAMES:
        ShardDataset([folder / name])
    forbid_scanning(monkeypatch)
    assert len(opened(folder)) == 2 * SAMPLES


def test_small_folders_get_no_file(folder, monkeypatch):
    monkeypatch.setattr(shard_index, "WRITTEN_FROM", WRITTEN_FROM)
    opened(folder)
    assert sorted(os.listdir(folder)) == NAMES


def test_members_beyond_4_gib_have_their_places(folder, monkeypatch):
    far = [
        Member("a", "jpg", 512, 2**33),
        Member("a", "json", 512 * 2**33, 3),
        Member("b", "jpg", 512 * (2**33 + 2), 7),
    ]
    monkeypatch.setattr(shard_index, "scan_shard", lambda path: iter(far))
    for _ in range(2):
        (shard,) = shard_index.index_shards([folder / NAMES[0]])
        assert [member for place in range(2) for member in shard.members(place)] == far


def test_a_sample_takes_no_more_than_fifty_bytes(tmp_path, monkeypatch):
    """Of allocated memory, on 10,000 samples in shards of 1,000: two members, keys of 12 characters."""
    monkeypatch.setattr(shard_index, "WRITTEN_FROM", 1)
    monkeypatch.setattr(shard_index, "SETTLED", -60)
    write(tmp_path / "shard-0.tar", [f"{number:012d}" for number in range(1000)])
    shards = [tmp_path / f"shard-{number}.tar" for number in range(10)]
    for other in shards[1:]:
        os.link(shards[0], other)
    ShardDataset(shards)
    tracemalloc.start()
    dataset = ShardDataset(shards)
    held, _ = tracemalloc.get_traced_memory()
    part = dataset.without([(shards[7].name, "000000000007")])
    with_part, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(dataset) == 10_000 and len(part) == 9_999 and part.key(7007) == "000000000008"
    assert dataset.nbytes / len(dataset) <= 40 and held / len(dataset) <= 50
    assert (with_part - held) / len(dataset) <= 10
