"""What is in scenes of toyworld, and what their records say of it."""

import math
from collections import Counter
from itertools import combinations, permutations, product
from typing import get_args

import numpy as np
import pytest
from pycocotools import mask as rle

from sgt.config.datasets import Toyworld
from sgt.data.images import decode_depth, decode_image
from sgt.data.toyworld import render_scene, sample_scene, sampling
from sgt.data.toyworld.dataset import DEPTH_SCALE
from sgt.data.toyworld.raytrace import COLOUR_RGB, trace
from sgt.data.toyworld.sampling import SPLITS
from sgt.data.toyworld.view import observe
from sgt.data.toyworld.vocabulary import COLOURS, NUMBERS, SHAPES, SIZES, WORDS
from sgt.errors import SgtError
from tests.data.toyworld.conftest import SPEC
from tests.data.toyworld.known import described
from tests.data.toyworld.test_rendering import inside


def test_every_thing_is_visible_whole_in_frame_and_uniquely_named(samples):
    occluded = 0
    for scene, labels in ((made.scene, made.labels) for made in samples):
        pixels = np.bincount(labels.ravel(), minlength=len(scene.things) + 1)[1:]
        assert pixels.min() >= 45 and 2 <= len(scene.things) <= 5
        assert not labels[[0, -1]].any() and not labels[:, [0, -1]].any()
        assert len({thing.name for thing in scene.things}) == len(scene.things)
        occluded += (pixels < trace(scene, 48).extents).any()
    assert occluded > SPEC.scenes / 5


def test_things_float_apart_from_each_other(samples):
    heights = [thing.z for made in samples for thing in made.scene.things]
    assert min(heights) >= 0 and np.mean(np.array(heights) > 0.5) > 0.5
    rng = np.random.default_rng(0)
    for made in samples:
        for one, other in permutations(made.scene.things, 2):
            unit = rng.uniform([[-1.3], [-1.3], [0]], [[1.3], [1.3], [2]], (3, 2000))
            points = one.radius * unit[:, inside(one.shape, unit)]
            cos, sin = math.cos(one.yaw), math.sin(one.yaw)
            x, y = one.x + cos * points[0] - sin * points[1], one.y + sin * points[0] + cos * points[1]
            x, y, z = x - other.x, y - other.y, one.z + points[2] - other.z
            cos, sin = math.cos(other.yaw), math.sin(other.yaw)
            local = np.stack([cos * x + sin * y, cos * y - sin * x, z]) / other.radius
            assert points.shape[1] > 100 and not inside(other.shape, local).any()


def test_neither_row_nor_size_in_the_image_tells_which_thing_is_closer():
    lower, larger = [], []
    for index in range(500):
        scene = sample_scene(0, "vqa", index)
        for one, other in combinations(observe(scene, trace(scene, 48).labels), 2):
            closer = one.depth < other.depth
            lower.append(closer == (one.v > other.v))
            larger.append(closer == (one.pixels > other.pixels))
    assert 0.5 < np.mean(lower) < 0.65
    # Perspective makes what is closer larger, but things come in two sizes and may hide each other.
    assert 0.6 < np.mean(larger) < 0.8


@pytest.mark.parametrize("size, scenes", [(16, 40), (24, 40), (48, 40), (96, 20), (1024, 2)])
def test_scenes_of_every_size_are_found(size, scenes):
    for index in range(scenes):
        scene = sample_scene(0, "test", index, size)
        pixels = np.bincount(trace(scene, size).labels.ravel(), minlength=len(scene.things) + 1)
        assert pixels[1:].min() >= 45 * (size / 48) ** 2


def test_a_scene_that_cannot_be_placed_is_refused_in_a_line(monkeypatch):
    monkeypatch.setattr(sampling, "MIN_VISIBLE_PIXELS", 48 * 48)
    monkeypatch.setattr(sampling, "_ATTEMPTS", 30)
    with pytest.raises(SgtError) as refused:
        sample_scene(5, "test", 7)
    (line,) = str(refused.value).splitlines()
    assert line.startswith("toyworld: scene 7 of split test with seed 5: no place found for its ")


def test_what_is_drawn_is_balanced(samples):
    scenes = [made.scene for made in samples]
    things = [thing for scene in scenes for thing in scene.things]
    assert set(Counter(len(scene.things) for scene in scenes)) == {2, 3, 4, 5}
    for values, names in ((SHAPES, "shape"), (COLOURS, "colour"), (SIZES, "size")):
        counts = Counter(getattr(thing, names) for thing in things)
        assert min(counts[value] for value in values) > 0.6 * len(things) / len(values), counts
    assert {scene.ground.kind for scene in scenes} == {"checker", "stripes", "noise"}


def test_colours_can_be_read_from_the_image(samples):
    right = total = 0
    names = list(COLOUR_RGB)
    hues = np.array([COLOUR_RGB[name] for name in names])
    hues /= np.linalg.norm(hues, axis=1, keepdims=True)
    for scene, labels, files in ((made.scene, made.labels, made.files) for made in samples):
        image = np.asarray(decode_image(files["jpg"], "test"), float)
        for number, thing in enumerate(scene.things, start=1):
            mean = np.median(image[labels == number], axis=0)
            right += names[int((hues @ mean).argmax())] == thing.colour
            total += 1
    assert right == total


def test_scenes_are_a_function_of_seed_split_and_index():
    assert sample_scene(5, "test", 7) == sample_scene(5, "test", 7)
    assert set(SPLITS) == set(get_args(Toyworld.model_fields["split"].annotation))
    drawn = [sample_scene(seed, split, index) for seed, split, index in product((0, 1), SPLITS, range(8))]
    assert len({scene.things for scene in drawn}) == len({scene.camera for scene in drawn}) == len(drawn)


def test_annotations_are_the_label_map(samples):
    ids = set()
    for made in samples:
        scene, labels, record, files = made.scene, made.labels, made.record, made.files
        assert decode_image(files["jpg"], "test").size == (48, 48)
        assert record["image"]["width"] == record["image"]["height"] == 48
        assert len(record["annotations"]) == len(scene.things)
        for number, annotation in enumerate(record["annotations"], start=1):
            mask = rle.decode(annotation["segmentation"]).astype(bool)
            assert np.array_equal(mask, labels == number)
            rows, columns = np.nonzero(mask)
            x, y = columns.min(), rows.min()
            assert annotation["bbox"] == [x, y, columns.max() + 1 - x, rows.max() + 1 - y]
            assert annotation["area"] == mask.sum() == rle.area(annotation["segmentation"])
            thing = scene.things[number - 1]
            described = annotation["category"], annotation["colour"], annotation["size"]
            assert described == (thing.shape, thing.colour, thing.size)
            ids.add(annotation["id"])
    assert len(ids) == sum(len(made.scene.things) for made in samples)


def test_depth_is_stored_in_thousandths(samples):
    for made in samples[:10]:
        stored = decode_depth(made.files["depth.png"], "test")
        assert stored.dtype == np.uint16 and stored.min() > 0
        assert np.abs(stored / DEPTH_SCALE - render_scene(made.scene, 48)[2]).max() <= 0.5 / DEPTH_SCALE + 1e-5


def test_captions_and_scene_objects_match_the_geometry(samples):
    columns = ("left", "middle", "right")
    for made in samples:
        known, record = described(made.scene, made.labels), made.record
        ordered = sorted(known.items(), key=lambda item: (columns.index(item[1]["column"]), item[1]["depth"]))
        phrases = [f"a {item['thing'].size} {name} at {item['column']} {item['row']}" for name, item in ordered]
        assert record["caption"] == " , ".join(phrases)
        for listed, (name, item) in zip(record["scene"]["objects"], known.items(), strict=True):
            assert f"{listed['colour']} {listed['shape']}" == name and listed["size"] == item["thing"].size
            assert (listed["column"], listed["row"]) == (item["column"], item["row"])
            assert listed["centroid"] == pytest.approx([item["x"], item["y"]], abs=1e-3)
            assert listed["depth"] == pytest.approx(item["depth"], abs=1e-4)
            assert listed["position"] == pytest.approx(item["centre"], abs=1e-4)


def test_texts_use_the_vocabulary_alone_and_conversations_hold_every_turn(samples):
    assert len(set(WORDS)) == len(WORDS)
    used = set()
    for record in (made.record for made in samples):
        turns = record["conversations"]
        assert [turn["from"] for turn in turns] == ["human", "gpt"] * (len(turns) // 2)
        assert turns[0]["value"].startswith("<image>\n")
        texts = [turn["value"].removeprefix("<image>\n") for turn in turns]
        pairs = list(zip(texts[::2], texts[1::2], strict=True))
        assert pairs.pop() == ("describe the scene", record["caption"])
        assert pairs == [(question["question"], question["answer"]) for question in record["questions"]]
        used.update(word for text in (*texts, record["edit"]["instruction"]) for word in text.split())
    assert used <= set(WORDS)
    assert set(WORDS) - used <= set(NUMBERS)
