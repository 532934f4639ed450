"""Random access to shards, and targets beside their sources."""

import json

import pytest

from sgt.data.dataset import ShardDataset, open_targets
from sgt.data.shards import ShardWriter, read_shard
from sgt.errors import SgtError

KEYS = {"shard-00000.tar": ["a", "b", "c"], "shard-00001.tar": ["d", "e"]}


def write(folder, keys: dict[str, list[str]], extension: str):
    for name, inside in keys.items():
        with ShardWriter(folder / name) as shard:
            for key in inside:
                shard.add(key, {extension: key.encode() * 600})
    return folder


@pytest.fixture
def source(tmp_path):
    folder = write(tmp_path / "source", KEYS, "jpg")
    return ShardDataset([folder / name for name in KEYS], [3, 2])


def targets_of(tmp_path, keys: dict[str, list[str]], refused: dict[str, list[str]]):
    folder = write(tmp_path / "targets", keys, "png")
    for name in keys:
        refusals = [{"key": key, "reason": "broken"} for key in refused.get(name, [])]
        (folder / name).with_suffix(".json").write_text(json.dumps({"refused": refusals}))
    return folder


def test_samples_are_those_of_the_stream(source, tmp_path):
    streamed = [sample for name in KEYS for sample in read_shard(tmp_path / "source" / name)]
    assert [source[index] for index in range(len(source))] == streamed
    assert source.keys == ["a", "b", "c", "d", "e"]


def test_a_shard_that_is_cut_anywhere_is_never_opened(tmp_path):
    folder = write(tmp_path / "source", KEYS, "jpg")
    path = folder / "shard-00000.tar"
    content = path.read_bytes()
    for cut in range(0, 3 * 3 * 512, 256):
        path.write_bytes(content[:cut])
        with pytest.raises(SgtError, match="truncated"):
            ShardDataset([path])


def test_a_count_that_differs_from_the_manifest_is_refused(source, tmp_path):
    with pytest.raises(SgtError, match="3 samples, 4 in the manifest"):
        ShardDataset([tmp_path / "source/shard-00000.tar"], [4])


def test_a_refused_sample_is_left_out_of_both_and_the_others_stay_aligned(source, tmp_path, caplog):
    folder = targets_of(
        tmp_path, {"shard-00000.tar": ["a", "c"], "shard-00001.tar": ["d", "e"]}, {"shard-00000.tar": ["b"]}
    )
    with caplog.at_level("INFO"):
        kept, targets = open_targets(folder, source, list(KEYS))
    assert kept.keys == targets.keys == ["a", "c", "d", "e"]
    assert [kept[index].get("jpg")[:1] for index in range(4)] == [targets[index].get("png")[:1] for index in range(4)]
    assert "1 of 5 samples have no target" in caplog.text


@pytest.mark.parametrize(
    ("keys", "refused", "problem"),
    [
        (["a", "c"], [], "has c where the source has b"),
        (["a", "b"], [], "has d where the source has c"),
        (["a", "b", "c"], ["c"], "has c where the source has d"),
        (["a", "b", "x"], ["c"], "has x where the source has d"),
    ],
)
def test_targets_of_another_source_are_refused(keys, refused, problem, source, tmp_path):
    folder = targets_of(tmp_path, {**KEYS, "shard-00000.tar": keys}, {"shard-00000.tar": refused})
    with pytest.raises(SgtError, match=problem):
        open_targets(folder, source, list(KEYS))


def test_targets_need_their_report(source, tmp_path):
    folder = targets_of(tmp_path, KEYS, {})
    (folder / "shard-00001.json").write_text("[]")
    with pytest.raises(SgtError, match=r"shard-00001\.json: not a report of targets"):
        open_targets(folder, source, list(KEYS))
    (folder / "shard-00001.json").unlink()
    with pytest.raises(SgtError, match=r"shard-00001\.json: no report beside the targets"):
        open_targets(folder, source, list(KEYS))


def test_indices_and_places_are_those_of_the_part_that_is_open(source):
    part = source.without([("shard-00000.tar", "b"), ("shard-00001.tar", "none")])
    assert part.keys == ["a", "c", "d", "e"] and [part.key(index) for index in (0, -1)] == ["a", "e"]
    assert part.place(1) == ("shard-00000.tar", "c") and part.name(2).endswith("shard-00001.tar: d")
    assert part.indices([("shard-00001.tar", "e"), ("shard-00000.tar", "b"), ("shard-00000.tar", "c")]).tolist() == [
        1,
        3,
    ]
    assert part.first(3).without([("shard-00000.tar", "a")]).keys == ["c", "d"]
    assert [sample.key for sample in part] == part.keys
    with pytest.raises(IndexError):
        part[4]


def test_a_limit_counts_samples_of_the_source_whether_they_have_a_target_or_not(source, tmp_path):
    keys = {"shard-00000.tar": ["a", "c"], "shard-00001.tar": ["d", "e"]}
    folder = targets_of(tmp_path, keys, {"shard-00000.tar": ["b"]})
    kept, targets = open_targets(folder, source, list(KEYS), [("shard-00000.tar", "a")], limit=4)
    assert kept.keys == targets.keys == ["c", "d"]
    with pytest.raises(SgtError, match="limit 6 is above its 5 samples"):
        open_targets(folder, source, list(KEYS), limit=6)
