"""A dataset of pictures of one's own: shards, identity by content, and an arm that is trained on them."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from sgt.commands.main import main
from sgt.data.dataset import open_dataset
from sgt.data.manifest import read_manifest
from sgt.data.shards import read_shard
from sgt.reporting.export.origins import origins_of
from sgt.study.load import load_study
from sgt.study.results import Results
from tests.conftest import STUDY, sgt, write_study

OWN = {"source": "images", "folder": "photos", "images": 5, "per_shard": 2, "licence": "my own"}


def picture(seed: int) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(coarse).resize((48, 48), Image.Resampling.BICUBIC)


def write_photos(count: int) -> None:
    for number in range(count):
        folder = Path("photos") / ("holidays" if number % 2 else "")
        folder.mkdir(parents=True, exist_ok=True)
        picture(number).save(folder / f"IMG {number}.{'png' if number % 3 else 'jpg'}")


@pytest.fixture
def own(study):
    """The prepared study with six photographs, of which its proxy images are five."""
    write_photos(6)
    return change(study)


def change(study: Path, **changes) -> Path:
    datasets = {**STUDY["datasets"], "own": {**OWN, **changes}}
    data = {"proxy": "own", "vqa": "questions", "held_out": "test", "max_bad": 0.0}
    return write_study(study.parents[1], datasets=datasets, data=data, arms=["base", "sft", "edge"])


def shards(study: Path, workers: int = 1) -> list[Path]:
    sgt("shards", study, "own", "--workers", workers)
    return sorted(Path("results/shards/own").glob("shard-*.tar"))


def refused(study: Path, capsys, *said: str) -> None:
    assert main(["shards", str(study), "own", "--workers", "1"]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if ": error: " in line]
    assert all(each in line for each in said), line
    assert not Path("results/shards/own/manifest.json").exists()


def recorded() -> dict[str, dict]:
    """Key, hash, size and time of each picture, by its name."""
    return json.loads(Path("results/shards/own/pictures.json").read_text())["pictures"]


def fault(study: Path) -> str | None:
    return Results(load_study(study)).dataset("own").fault()


def test_shards_hold_the_files_as_they_are_whatever_the_number_of_workers(own):
    made = [path.read_bytes() for path in shards(own)]
    assert made == [path.read_bytes() for path in shards(own, workers=2)]
    assert [len(list(read_shard(path))) for path in sorted(Path("results/shards/own").glob("*.tar"))] == [2, 2, 1]
    names = {
        each["key"]: name
        for name, each in json.loads(Path("results/shards/own/pictures.json").read_text())["pictures"].items()
    }
    dataset = open_dataset(Path("results/shards/own"))
    assert len(dataset) == len(names) == 5
    for index in range(5):
        assert dataset[index].image == (Path("photos") / names[dataset[index].key]).read_bytes()
    manifest = read_manifest("results/shards/own")
    assert (manifest["count"], manifest["licence"], manifest["source"]) == (5, "my own", "images")


def test_the_identity_is_that_of_the_contents(own):
    shards(own)
    assert fault(own) is None
    shutil.copytree("photos", "elsewhere")
    assert fault(change(own, folder="elsewhere", licence="another")) is None
    shutil.rmtree("elsewhere")
    assert fault(own) is None
    change(own)
    chosen = recorded()
    unused = next(path for path in Path("photos").rglob("IMG*") if path.relative_to("photos").as_posix() not in chosen)
    unused.unlink()
    assert fault(own) is None
    used = Path("photos") / min(chosen)
    before = used.read_bytes()
    picture(99).save(used)
    assert "pictures was" in (fault(own) or "")
    used.write_bytes(before)
    assert fault(own) is None


def test_pictures_that_have_not_changed_are_not_read_again(own, monkeypatch):
    shards(own)
    read = []
    monkeypatch.setattr("sgt.data.picture_hashes.sha256", lambda path: read.append(path) or "0" * 64)
    assert fault(own) is None and not read
    chosen = recorded()
    os.utime(Path("photos") / min(chosen), ns=(0, 0))
    assert "pictures was" in (fault(own) or "") and read == [Path("photos") / min(chosen)]


def test_smaller_sets_are_the_beginning_of_larger_ones(own):
    def keys() -> list[str]:
        return [sample.key for path in shards(own) for sample in read_shard(path)]

    five = keys()
    change(own, images=3)
    shutil.rmtree("results/shards/own")
    assert keys() == five[:3]
    picture(50).save("photos/IMG 50.png")
    change(own, images=6)
    assert [key for key in keys() if key in five] == five


def test_what_is_not_there_or_no_picture_is_refused_or_counted(own, capsys):
    change(own, images=9)
    refused(own, capsys, "photos: 6 pictures are there, 9 are wanted")
    change(own, folder="phtos")
    refused(own, capsys, "datasets.own.folder: there is no folder phtos")
    change(own, images=6)
    Path("photos/IMG 0.jpg").write_text("not a picture")
    refused(own, capsys, "photos/IMG 0.jpg: corrupt or not an image")
    study = yaml.safe_load(own.read_text())
    own.write_text(yaml.safe_dump({**study, "data": {**study["data"], "max_bad": 0.5}}))
    shards(own)
    report = json.loads(Path("results/shards/own/report.json").read_text())
    assert [each["key"] for shard in list(report.values())[:3] for each in shard["refused"]] == ["IMG_0"]


def test_an_arm_is_trained_on_own_pictures(own):
    paths = shards(own)
    for path in paths:
        sgt("render", "edge", path, f"results/targets/own/edge/{path.name}")
    sgt("screen", own, "own", "--workers", 1)
    words = [own, "--model", "micro", "--arm", "edge", "--seed", 0]
    sgt("train", *words)
    study = load_study(own)
    (run,) = [run for run in study.runs if run.arm == "edge"]
    assert Results(study).run(run).fault() is None
    licences = {origin.name: origin.licence for origin in origins_of(study, run)}
    assert licences["own"] == "my own"
