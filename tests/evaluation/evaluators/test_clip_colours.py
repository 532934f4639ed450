"""The classifier of colours: crops, prompts, and what it picks."""

import numpy as np
import pytest
import torch
from PIL import Image

from sgt.errors import SgtError
from sgt.evaluation.evaluators.clip_colours import MEAN, STD, ColourClassifier, cut_out, prepared, prompts
from sgt.evaluation.evaluators.instances import Detection, box_of
from sgt.evaluation.geneval_rules import COLOURS
from tests.evaluation.evaluators.small_models import write_classifier


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("classifier")
    write_classifier(path)
    return path


def thing(name: str, seed: int = 0) -> tuple[Image.Image, Detection]:
    """An image of noise and a thing in it that is not a box."""
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 60, 3), np.uint8)
    mask = np.zeros((40, 60), bool)
    mask[5:20, 10:30] = mask[18:33, 25:50] = True
    return Image.fromarray(pixels), Detection(name, 0.9, box_of(mask), mask)


def test_everything_but_the_thing_is_grey_and_the_crop_is_its_box():
    image, detection = thing("cup")
    found, pixels = np.asarray(cut_out(image, detection)), np.asarray(image)
    assert found.shape == (28, 40, 3)
    inside = detection.mask[5:33, 10:50]
    assert (found[~inside] == 0x99).all() and (found[inside] == pixels[5:33, 10:50][inside]).all()


def test_the_crop_is_scaled_by_its_short_side_and_cut_from_the_middle():
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 255
    found = prepared(Image.fromarray(wide), 20)
    values = found * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]
    assert found.shape == (3, 20, 20) and values[:, :, 3:17].min() > 0.98
    for size in ((7, 5), (5, 7), (1, 500), (300, 224)):
        assert prepared(Image.new("RGB", size), 20).shape == (3, 20, 20)


def test_the_prompts_are_the_published_ones():
    assert prompts("red", "computer mouse") == [
        "a photo of a red computer mouse",
        "a photo of a red-colored computer mouse",
        "a photo of a red object",
    ]


def test_it_picks_the_colour_whose_mean_prompt_is_nearest(folder):
    """Against every step written out with one crop and one text at a time."""
    classifier = ColourClassifier(folder)
    model, tokenizer = classifier._model, classifier._tokenizer
    things = [thing(name, seed) for seed, name in enumerate(["cup", "dog", "cup", "tv remote"])]
    best = []
    for image, detection in things:
        pixels = prepared(cut_out(image, detection), 28)[None]
        with torch.no_grad():
            feature = model.get_image_features(pixel_values=pixels).pooler_output[0]
            similar = []
            for colour in COLOURS:
                mean = torch.zeros(8)
                for text in prompts(colour, detection.name):
                    output = model.get_text_features(**tokenizer(text, return_tensors="pt")).pooler_output[0]
                    mean += output / output.norm() / 3
                similar.append(float(feature @ (mean / mean.norm())))
        best.append(COLOURS[int(np.argmax(similar))])
    assert classifier.colours(things) == best
    assert [classifier.colours([each]) for each in things] == [[name] for name in best]


def test_a_folder_without_tokenizer_is_refused(folder, tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(SgtError, match="no tokenizer of a CLIPModel"):
        ColourClassifier(tmp_path)
