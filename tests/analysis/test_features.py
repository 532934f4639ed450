"""Features of objects are means over their masks; labels and places are those of the annotations."""

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from sgt.analysis.annotated import AnnotatedImage, AnnotatedObject, annotated_image
from sgt.analysis.features import pooled_features, shares_of_places
from sgt.data.dataset import open_dataset
from sgt.data.images import encode_png
from sgt.data.shards import Sample
from sgt.models.interface import Request
from tests.models.conftest import load_micro


def test_a_mask_is_spread_over_the_places_that_it_covers():
    masks = np.zeros((2, 6, 8), bool)
    masks[0, 3:6, 4:6] = True
    masks[1, 0, 1:4] = True
    shares = shares_of_places(masks, (2, 4))
    assert shares.dtype == np.float32
    np.testing.assert_allclose(shares[0].reshape(2, 4), [[0, 0, 0, 0], [0, 0, 1, 0]])
    np.testing.assert_allclose(shares[1].reshape(2, 4), [[1 / 3, 2 / 3, 0, 0], [0, 0, 0, 0]], atol=1e-6)


def test_labels_of_built_in_scenes_are_those_of_the_scene(study):
    dataset = open_dataset(Path("results/shards/test"))
    for index in range(len(dataset)):
        things = dataset[index].json()["scene"]["objects"]
        found = annotated_image(dataset[index])
        assert found.key == dataset.keys[index] and found.image.size == (48, 48)
        for thing, each in zip(things, found.objects, strict=True):
            names = ("colour", "size", "column", "row", "depth")
            assert each.labels == {"class": thing["shape"], **{name: thing[name] for name in names}}
            rows, columns = np.nonzero(each.mask)
            centroid = columns.mean() + 0.5, rows.mean() + 0.5
            assert centroid == pytest.approx(thing["centroid"], abs=1e-3)


def test_annotations_of_coco_have_a_class_and_a_place():
    polygon = [[8, 0, 12, 0, 12, 3, 8, 3]]
    listed = [
        {"id": 3, "category": "dog", "iscrowd": 0, "segmentation": polygon},
        {"id": 1, "category": "person", "iscrowd": 1, "segmentation": {"size": [9, 12], "counts": [100, 8]}},
        {"id": 2, "category": "cat", "iscrowd": 0, "segmentation": []},
        {"id": 4, "category": None, "iscrowd": 0, "segmentation": polygon},
    ]
    files = {"png": encode_png(np.zeros((9, 12, 3), np.uint8)), "json": json.dumps({"annotations": listed}).encode()}
    (dog,) = annotated_image(Sample(Path("a.tar"), "one", files)).objects
    assert dog.labels == {"class": "dog", "column": "right", "row": "top"} and dog.mask.sum() == 12


@pytest.mark.parametrize("family", ["bagel", "omnigen2"])
def test_features_are_means_of_the_states_of_every_layer(family, study_of):
    model = load_micro(family, study_of(family))
    model.network.eval()
    dataset = open_dataset(Path("results/shards/test")).first(5)
    features = pooled_features(model, dataset)
    depth = len(model.tower.layers)
    conditions = model.capture_conditioning([annotated_image(dataset[2]).image])[0]
    assert len(conditions) == (2 if family == "omnigen2" else 0)
    names = [*(f"vision.{index}" for index in range(depth)), "connector", "decoder.0", "decoder.1"]
    names += [f"conditioning.{index}" for index in range(len(conditions))]
    assert list(features.images) == list(features.objects) == names and features.left_out == []
    assert features.keys == dataset.keys
    third = annotated_image(dataset[2])
    first = int(np.searchsorted(features.image_of, 2))
    assert features.labels[first : first + len(third.objects)] == [each.labels for each in third.objects]
    (encoded,) = model.tower.capture([third.image])
    (read,) = model.capture([Request((third.image, "how many cubes are there"))], [1], ["image"])
    places = encoded.connected.shape[:2]
    mask = torch.from_numpy(third.objects[0].mask.astype(np.float32))
    for name, states in (
        ("vision.0", encoded.layers[0]),
        ("connector", encoded.connected),
        ("decoder.1", read.states[1]["image"].unflatten(0, places)),
        *((f"conditioning.{index}", each.unflatten(0, places)) for index, each in enumerate(conditions)),
    ):
        height, width = states.shape[:2]
        cells = mask.unflatten(0, (height, -1)).unflatten(2, (width, -1)).mean((1, 3))
        mean = (states * cells[..., None]).sum((0, 1)) / cells.sum()
        np.testing.assert_allclose(features.objects[name][first], mean, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(features.images[name][2], states.mean((0, 1)), rtol=1e-3, atol=1e-4)
    assert list(pooled_features(model, dataset.first(1), every=2).images) == [
        *(f"vision.{index}" for index in range((depth - 1) % 2, depth, 2)),
        "connector",
        "decoder.1",
        *(["conditioning.1"] if conditions else []),
    ]


@torch.no_grad()
def test_conditioning_is_what_the_diffusion_transformer_reads(study_omnigen2):
    model = load_micro("omnigen2", study_omnigen2)
    image = annotated_image(open_dataset(Path("results/shards/test"))[0]).image
    (first, last) = model.capture_conditioning([image])[0]
    (features,) = model._features([None], [[image]])
    transformer = model.network.transformer
    whole = transformer.read_text(features, [len(features)])
    ids = model.chats.instruction(None, [image]).ids
    of_image = torch.tensor(ids) == model.network.mllm.config.image_token_id
    torch.testing.assert_close(last, whole[of_image])
    torch.testing.assert_close(first, transformer.time_caption_embed.caption_embedder(features)[of_image])


def test_features_are_in_memory_once(monkeypatch):
    mask, layers, count = np.ones((2, 2), bool), 8, 40
    annotated = [AnnotatedImage(str(place), None, [AnnotatedObject(mask, {})]) for place in range(count)]
    monkeypatch.setattr("sgt.analysis.features._batches", lambda *given: ([each] for each in annotated))
    states = {f"decoder.{layer}": torch.ones(1, 1, 4096) for layer in range(layers)}
    monkeypatch.setattr("sgt.analysis.features._states", lambda *given: [states])
    tracemalloc.start()
    features = pooled_features(None, None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    kept = sum(each.nbytes for part in (features.images, features.objects) for each in part.values())
    assert kept == 2 * layers * count * 4096 * 4 and peak < 1.3 * kept
