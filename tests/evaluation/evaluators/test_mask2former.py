"""The detector: its input, its weights and the names of its classes."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from sgt.errors import SgtError
from sgt.evaluation.evaluators.coco_classes import CLASSES
from sgt.evaluation.evaluators.mask2former import MEAN, STD, Mask2Former, prepared, scaled_size
from tests.evaluation.evaluators.small_models import LABELS, write_detector


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("detector")
    write_detector(path)
    return path


@pytest.fixture
def changed(folder, tmp_path):
    """A copy of the folder whose files a test may change."""
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    return tmp_path


def test_the_short_side_becomes_800_unless_the_long_one_exceeds_1333():
    assert scaled_size(1024, 1024) == (800, 800) and scaled_size(48, 48) == (800, 800)
    assert scaled_size(480, 640) == (800, 1067) and scaled_size(1000, 300) == (1333, 400)


def test_the_input_is_scaled_to_whole_values_and_padded_with_zeros_after_normalising():
    pixels = np.random.default_rng(0).integers(0, 256, (1000, 300, 3), np.uint8)
    found = prepared(Image.fromarray(pixels))
    assert found.shape == (3, 1344, 416)
    assert not found[:, 1333:].any() and not found[:, :, 400:].any()
    values = found[:, :1333, :400] * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]
    assert torch.allclose(values, values.round(), atol=1e-4) and values.round().min() >= 0 and values.max() < 255.01
    same = prepared(Image.fromarray(np.full((800, 800, 3), 90, np.uint8)))
    assert torch.allclose(same[:, 0, 0], (90 - torch.tensor(MEAN)) / torch.tensor(STD))


def test_an_image_is_read_alike_alone_and_among_others_of_any_size(folder):
    detector = Mask2Former(folder, CLASSES)
    draw = np.random.default_rng(1)
    images = [
        Image.fromarray(draw.integers(0, 256, size, np.uint8)) for size in ((40, 40, 3), (40, 50, 3), (40, 40, 3))
    ]
    together = detector.detect(images, 0.0)
    for image, found in zip(images, together, strict=True):
        (alone,) = detector.detect([image], 0.0)
        assert len(alone) > 20 and {each.mask.shape for each in alone} == {(image.height, image.width)}
        key = sorted((each.name, round(each.score, 5)) for each in alone)
        assert key == sorted((each.name, round(each.score, 5)) for each in found)


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        (LABELS[:79], "79 labels, 80 classes are scored"),
        ([*LABELS[:63], "notebook", *LABELS[64:]], "id2label.63: 'notebook' is not the class 'laptop'"),
        ([LABELS[1], LABELS[0], *LABELS[2:]], "id2label.0: 'bicycle' is not the class 'person'"),
    ],
)
def test_a_class_without_a_label_ends_in_one_line(tmp_path, labels, problem):
    write_detector(tmp_path, labels)
    with pytest.raises(SgtError, match=r"config\.json") as error:
        Mask2Former(tmp_path, CLASSES)
    assert problem in str(error.value) and "\n" not in str(error.value)


def test_there_are_80_classes_and_three_that_geneval_renamed():
    assert len(CLASSES) == 80 and list(CLASSES)[:2] == ["person", "bicycle"] and list(CLASSES)[79] == "toothbrush"
    assert [list(CLASSES)[index] for index in (64, 65, 66)] == ["computer mouse", "tv remote", "computer keyboard"]
    assert [LABELS[index] for index in (64, 65, 66)] == ["mouse", "remote", "keyboard"]


def test_weights_that_lack_a_tensor_are_refused_and_not_made_up(changed):
    weights = load_file(changed / "model.safetensors")
    del weights["class_predictor.weight"]
    save_file(weights, changed / "model.safetensors", {"format": "pt"})
    with pytest.raises(SgtError, match=r"1 weights are missing or of another shape, such as class_predictor.weight"):
        Mask2Former(changed, CLASSES)


def test_weights_of_another_shape_are_refused(changed):
    config = json.loads((changed / "config.json").read_text())
    (changed / "config.json").write_text(json.dumps({**config, "num_queries": 9}))
    with pytest.raises(SgtError) as error:
        Mask2Former(changed, CLASSES)
    assert "\n" not in str(error.value)


def test_a_folder_without_a_model_ends_in_one_line(tmp_path):
    with pytest.raises(SgtError, match="no Mask2FormerForUniversalSegmentation") as error:
        Mask2Former(tmp_path, CLASSES)
    assert "\n" not in str(error.value)
