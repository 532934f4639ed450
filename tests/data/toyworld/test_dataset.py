"""Toyworld as shards: bytes, manifests, and the command."""

import hashlib
import os
import signal

import pytest

from sgt.commands.main import main
from sgt.config.datasets import Toyworld
from sgt.data.identity import dataset_identity
from sgt.data.images import decode_image
from sgt.data.manifest import dataset_shards, read_manifest
from sgt.data.shards import read_shard
from sgt.data.toyworld import make
from sgt.data.toyworld.make import make_dataset

MADE = {"size": 32, "seed": 9, "per_shard": 4}


def test_bytes_do_not_depend_on_workers_or_on_what_was_there(tmp_path):
    spec = Toyworld(source="toyworld", split="test", scenes=7, per_shard=3)
    make_dataset(tmp_path / "one", spec, workers=1)
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "shard-00001.tar").write_bytes(b"left by a killed call")
    make_dataset(tmp_path / "two", spec, workers=2)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == ["manifest.json", "shard-00000.tar", "shard-00001.tar", "shard-00002.tar"]
    assert names == sorted(path.name for path in (tmp_path / "two").iterdir())
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in names)


def _killed(path, spec, index):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_ends_the_command_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(make, "write_shard", _killed)
    words = ["--split", "proxy", "--scenes", "4", "--size", "32", "--per-shard", "2", "--workers", "2"]
    assert main(["toyworld", str(tmp_path), *words]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert f"{tmp_path}: one of its processes was killed" in line and not (tmp_path / "manifest.json").exists()


def test_command_writes_a_dataset_with_its_manifest(tmp_path):
    words = ["toyworld", str(tmp_path), "--split", "proxy", "--scenes", "5", "--per-shard", "4", "--size", "32"]
    assert main([*words, "--seed", "9", "--workers", "2"]) == 0
    manifest = read_manifest(tmp_path)
    fields = {field: manifest[field] for field in ("source", "licence", "split", "seed", "size", "count")}
    assert fields == {
        "source": "toyworld",
        "licence": "Apache-2.0",
        "split": "proxy",
        "seed": 9,
        "size": 32,
        "count": 5,
    }
    shards = dataset_shards(tmp_path)
    keys = [sample.key for shard in shards for sample in read_shard(shard)]
    assert keys == [f"proxy-{index:06d}" for index in range(5)]
    hashes = [hashlib.sha256(shard.read_bytes()).hexdigest() for shard in shards]
    assert [(shard["count"], shard["sha256"]) for shard in manifest["shards"]] == list(zip((4, 1), hashes, strict=True))
    sample = next(read_shard(shards[0]))
    assert set(sample.files) == {"jpg", "depth.png", "json"}
    assert decode_image(sample.get("jpg"), "test").size == (32, 32)
    assert manifest["identity"] == dataset_identity(Toyworld(source="toyworld", split="proxy", scenes=5, **MADE))


def test_command_writes_edits_and_their_manifest_is_another(tmp_path):
    words = ["--split", "proxy", "--scenes", "3", "--size", "32", "--seed", "9", "--per-shard", "4", "--workers", "1"]
    for name, more in (("plain", []), ("edits", ["--edits"])):
        assert main(["toyworld", str(tmp_path / name), *words, *more]) == 0
    plain, edits = (read_manifest(tmp_path / name)["identity"] for name in ("plain", "edits"))
    spec = Toyworld(source="toyworld", split="proxy", scenes=3, edits=True, **MADE)
    assert edits == dataset_identity(spec) != plain
    samples, edited = (list(read_shard(tmp_path / name / "shard-00000.tar")) for name in ("plain", "edits"))
    for one, other in zip(samples, edited, strict=True):
        assert one.key == other.key and set(one.files) == {"jpg", "depth.png", "json"}
        assert set(other.files) == {*one.files, "edit.jpg"} == {"jpg", *spec.files}
        # What else is in the sample does not depend on whether it has an edit.
        assert {name: other.files[name] for name in ("jpg", "depth.png")} == {
            name: one.files[name] for name in ("jpg", "depth.png")
        }
        record = other.json()
        assert set(record.pop("edit")) == {"kind", "instruction"} and record == one.json()
        assert decode_image(other.get("edit.jpg"), "test").size == (32, 32)


@pytest.mark.parametrize("option, value", [("--size", "8"), ("--scenes", "0"), ("--seed", "-1"), ("--workers", "0")])
def test_command_names_the_option_that_is_wrong(tmp_path, capsys, option, value):
    words = {"--split": "test", "--scenes": "1", "--workers": "1"} | {option: value}
    assert main(["toyworld", str(tmp_path / "out"), *(f"{key}={word}" for key, word in words.items())]) == 1
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert option in message and value in message
    assert not (tmp_path / "out").exists()


def test_command_refuses_a_file_in_place_of_its_folder(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["toyworld", str(tmp_path / "file"), "--split", "test", "--scenes", "1", "--workers", "1"]) == 1
    assert "file: cannot be made" in capsys.readouterr().err.strip().splitlines()[-1]
