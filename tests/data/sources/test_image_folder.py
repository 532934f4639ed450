"""Images in a folder per class become samples with one annotation, of the whole image."""

import shutil
from pathlib import Path

import pytest

from sgt.analysis.annotated import annotated_image
from sgt.data.dataset import open_dataset
from sgt.data.images import encode_jpeg
from tests.data.sources import releases
from tests.data.sources.conftest import refused, shards


def test_every_image_is_one_object_of_its_class_and_classes_take_turns(study):
    dataset = open_dataset(shards(study, "pianos"))
    found = [annotated_image(dataset[place]) for place in range(len(dataset))]
    assert [[each.labels["class"] for each in image.objects] for image in found] == [
        ["grand piano"], ["upright piano"],
    ] * 3  # fmt: skip
    assert all(image.objects[0].mask.shape == (40, 60) and image.objects[0].mask.all() for image in found)
    keys = [image.key for image in found]
    assert len(set(keys)) == 6 and all(key.startswith(("n03452741-n03452741_", "n04515003-n04515003_")) for key in keys)
    sample = dataset[0]
    number = int(sample.key.rpartition("_")[2]) // 10
    assert sample.get("jpg") == encode_jpeg(releases.picture(number))
    # Fewer are the beginning of more.
    shutil.rmtree("results/shards/pianos")
    study.write_text(study.read_text().replace("per_class: 3", "per_class: 2"))
    assert open_dataset(shards(study, "pianos")).keys == keys[:4]


@pytest.mark.parametrize("change", ["few", "missing", "same"])
def test_folders_that_lack_images_are_refused(study, capsys, change):
    folder = Path("downloads/pianos/train/n04515003")
    if change == "few":
        for path in sorted(folder.glob("n*.JPEG"))[:3]:
            path.unlink()
        refused(study, "pianos", capsys, "n04515003: 2 images, 3 are wanted; lower per_class")
    elif change == "missing":
        shutil.rmtree(folder)
        refused(study, "pianos", capsys, "n04515003: no such folder; put it there, or run `sgt fetch pianos`")
    else:
        study.write_text(study.read_text().replace("upright piano", "grand piano"))
        refused(study, "pianos", capsys, "folders: two have the same class: name each differently")
