"""Images of COCO that a run was trained on and a benchmark asks about."""

import pytest
import yaml

from sgt.data.dataset import open_dataset
from sgt.evaluation.overlap import coco_number, overlap, trained_on
from sgt.evaluation.task import Row
from sgt.study.load import load_study
from sgt.study.runs import Run
from tests.data.sources.conftest import shards
from tests.evaluation.tasks.published import task


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("COCO_val2014_000000000042", 42),
        ("000000581929.jpg", 581929),
        ("COCO/img/2D/coco_000000000139.png", 139),
        ("sa_223750", None),
        ("ADE_val_00000001.jpg", None),
    ],
)
def test_the_number_of_an_image_is_the_same_in_every_edition(name, number):
    assert coco_number(name) == number


def test_images_that_a_proxy_was_rendered_from_are_counted(study):
    numbers = [int(key) for key in open_dataset(shards(study, "coco")).keys]
    loaded = load_study(study)
    seen = trained_on(loaded, Run("micro", "segmentation", 0))
    assert seen == set(numbers) and trained_on(loaded, Run("micro", "sft", 0)) is None
    names = [f"COCO_val2014_{number:012d}" for number in (*numbers[:3], 999999)]
    rows = [Row(str(place), "?", "yesno", groups={"image": name}) for place, name in enumerate([*names, *names])]
    assert overlap(task("pope", "paper"), rows, seen) == {"images": 4, "trained_on": 3}
    assert overlap(task("pope", "paper"), rows, None) is None
    assert overlap(task("mmvp", "paper"), rows, seen) is None


def test_a_transplant_was_trained_on_the_images_of_both_its_runs(study):
    numbers = {int(key) for key in open_dataset(shards(study, "coco")).keys}
    content = yaml.safe_load(study.read_text())
    images = content["data"].pop("proxy")
    content |= {
        "arms": ["base", "sft", "more"],
        "variants": {"more": {"proxy": "segmentation", "images": images}},
        "transplants": {"eyes": {"into": "sft", "parts_from": "more", "parts": ["vision"]}},
    }
    study.write_text(yaml.safe_dump(content))
    loaded = load_study(study)
    (eyes,) = loaded.transplant_runs
    assert trained_on(loaded, eyes) == numbers
