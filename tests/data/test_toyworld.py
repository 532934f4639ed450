"""The built-in scenes: geometry, labels, questions, and the shards made of them."""

import hashlib
import json
import math
import re
from collections import Counter
from itertools import product
from typing import get_args

import numpy as np
import pytest
from pycocotools import mask as rle

from sgt.commands.main import main
from sgt.config.datasets import Toyworld
from sgt.data.images import decode_depth, decode_image
from sgt.data.manifest import dataset_shards, read_manifest
from sgt.data.shards import read_shard
from sgt.data.toyworld import render_scene, sample_scene
from sgt.data.toyworld.dataset import DEPTH_SCALE, make_sample
from sgt.data.toyworld.make import make_dataset
from sgt.data.toyworld.questions import KINDS
from sgt.data.toyworld.raytrace import COLOUR_RGB, trace
from sgt.data.toyworld.sampling import SPLITS
from sgt.data.toyworld.scene import RADII, Camera, Ground, Scene, Thing
from sgt.data.toyworld.solids import SOLIDS
from sgt.data.toyworld.vocabulary import COLOURS, NUMBERS, SHAPES, SIZES, WORDS

SCENES = 120
SPEC = Toyworld(source="toyworld", split="vqa", scenes=SCENES, seed=3)
CAMERA = Camera(0.1, 13.0, math.radians(44), 2.6)
PLAIN = Ground("checker", ((0.8, 0.7, 0.6), (0.8, 0.7, 0.6)), 1.0, 0.0, 0)
SUN = (0.7, -0.3, math.sqrt(0.42))


@pytest.fixture(scope="module")
def samples():
    """(scene, label map, record, files) of the first scenes."""
    made = []
    for index in range(SCENES):
        key, files = make_sample(SPEC, index)
        assert key == f"vqa-{index:06d}"
        scene = sample_scene(SPEC.seed, SPEC.split, index, SPEC.size)
        made.append((scene, trace(scene, SPEC.size).labels, json.loads(files["json"]), files))
    return made


def ball_on_ray(row: int, column: int, colour: str = "red") -> tuple[Thing, float, float]:
    """A ball whose centre is on a pixel's ray; its depth, and the length of the ray per unit of depth."""
    ray = np.array(CAMERA.direction((column + 0.5) / 48, (row + 0.5) / 48))
    depth = (RADII["small"] - CAMERA.position[2]) / ray[2]
    x, y, _ = np.array(CAMERA.position) + depth * ray
    return Thing("ball", colour, "small", float(x), float(y), 0.0), float(depth), float(np.linalg.norm(ray))


def inside(shape: str, point: np.ndarray) -> np.ndarray:
    """Whether points (3, …) are in a unit solid, by its definition."""
    x, y, z = point
    height, widest = SOLIDS[shape].height, SOLIDS[shape].footprint
    radius = np.hypot(x, y)
    return {
        "ball": x * x + y * y + (z - 1) ** 2 <= 1,
        "cube": (np.maximum(abs(x), abs(y)) <= height / 2) & (z >= 0) & (z <= height),
        "cylinder": (radius <= widest) & (z >= 0) & (z <= height),
        "cone": (radius <= widest * (1 - z / height)) & (z >= 0),
    }[shape]


@pytest.mark.parametrize("shape", SHAPES)
def test_rays_enter_solids_where_marching_finds_them(shape):
    rng = np.random.default_rng(0)
    start = rng.normal(size=(3, 400)) * 0.4 + np.array([[0], [-4], [5]])
    start[1, 200:] += 3.4  # steeper than the cone's side
    goal = rng.uniform(-1.3, 1.3, (3, 400)) + np.array([[0], [0], [0.8]])
    direction = goal - start
    with np.errstate(invalid="ignore", divide="ignore"):
        entry = SOLIDS[shape].enter(tuple(start), tuple(direction))
    steps = np.linspace(0, 2.5, 5001)
    marched = inside(shape, start[:, :, None] + direction[:, :, None] * steps)
    found = np.where(marched.any(axis=1), steps[marched.argmax(axis=1)], np.nan)
    assert 40 < np.isfinite(found).sum() < 360
    grazing = marched.sum(axis=1) < 10
    assert np.array_equal(np.isnan(entry)[~grazing], np.isnan(found)[~grazing] | (entry[~grazing] > 2.5))
    both = np.isfinite(found) & np.isfinite(entry)
    assert np.abs(entry - found)[both].max() < 2 * steps[1]
    surface = start + direction * entry
    normal = np.array(SOLIDS[shape].normal(tuple(surface[:, both])))
    assert ((normal * direction[:, both]).sum(axis=0) < 1e-9).all()


def test_depth_of_a_balls_centre_pixel_is_analytic():
    thing, depth, length = ball_on_ray(20, 30)
    scene = Scene(CAMERA, SUN, PLAIN, (thing,))
    hits = trace(scene, 48)
    expected = depth - thing.radius / length
    assert hits.labels[20, 30] == 1
    assert hits.depth[20, 30] == pytest.approx(expected, abs=1e-9)
    assert hits.depth[40, 5] == pytest.approx(CAMERA.position[2] / -CAMERA.direction(0, 40.5 / 48)[2], abs=1e-9)
    assert render_scene(scene, 48)[2][20, 30] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("nearest_first", [True, False])
def test_the_nearer_thing_hides_the_farther(nearest_first):
    near, far = ball_on_ray(26, 24, "red")[0], ball_on_ray(19, 24, "blue")[0]
    things = (near, far) if nearest_first else (far, near)
    hits = trace(Scene(CAMERA, SUN, PLAIN, things), 48)
    alone = [trace(Scene(CAMERA, SUN, PLAIN, (thing,)), 48).labels > 0 for thing in (near, far)]
    assert (alone[0] & alone[1]).sum() > 10
    label = {thing: number for number, thing in enumerate(things, start=1)}
    assert np.array_equal(hits.labels == label[near], alone[0])
    assert np.array_equal(hits.labels == label[far], alone[1] & ~alone[0])
    assert hits.extents == tuple(int((alone[0] if thing is near else alone[1]).sum()) for thing in things)


def test_the_ground_is_lit_except_in_the_hard_shadow():
    thing = Thing("ball", "green", "large", 0.0, 0.5, 0.0)
    image, labels, _ = render_scene(Scene(CAMERA, SUN, PLAIN, (thing,)), 96)
    shadow = np.array(thing.centre) - np.array(SUN) * (thing.radius / SUN[2]) - (0.8 * SUN[0], 0.8 * SUN[1], 0)
    u, v, _ = CAMERA.project(shadow[:, None])
    row, column = int(v[0] * 96), int(u[0] * 96)
    assert labels[row, column] == 0
    colour = np.array(PLAIN.colours[0]) * 255
    assert np.abs(image[row, column] - 0.42 * colour).max() <= 1
    assert np.abs(image[90, 5] - (0.42 + 0.62 * SUN[2]) * colour).max() <= 1
    values = {tuple(pixel) for pixel in image[labels == 0]}
    assert len(values) > 2  # the shadow's edge is anti-aliased


def test_labels_and_depth_are_those_of_every_ray_against_every_thing(samples):
    centres = (np.arange(48) + 0.5) / 48
    for scene, labels, _, _ in samples[:12]:
        rays = np.stack([np.broadcast_to(axis, (48, 48)) for axis in scene.camera.direction(centres, centres[:, None])])
        depths = [-scene.camera.position[2] / rays[2]]
        for thing in scene.things:
            turn = np.array([[math.cos(thing.yaw), math.sin(thing.yaw)], [-math.sin(thing.yaw), math.cos(thing.yaw)]])
            origin = np.array(scene.camera.position) - (thing.x, thing.y, 0)
            local = [(*(turn @ vector[:2].reshape(2, -1)), vector[2].ravel()) for vector in (origin, rays)]
            with np.errstate(invalid="ignore"):
                scaled = [tuple(axis / RADII[thing.size] for axis in vector) for vector in local]
                depths.append(SOLIDS[thing.shape].enter(*scaled).reshape(48, 48))
        nearest = np.nanmin(depths, axis=0)
        assert np.array_equal(labels, np.nanargmin(depths, axis=0))
        assert np.allclose(render_scene(scene, 48)[2], nearest, rtol=1e-6)


def test_every_thing_is_visible_whole_in_frame_and_uniquely_named(samples):
    occluded = 0
    for scene, labels, _, _ in samples:
        pixels = np.bincount(labels.ravel(), minlength=len(scene.things) + 1)[1:]
        assert pixels.min() >= 45 and 2 <= len(scene.things) <= 5
        assert not labels[[0, -1]].any() and not labels[:, [0, -1]].any()
        assert len({thing.name for thing in scene.things}) == len(scene.things)
        occluded += (pixels < trace(scene, 48).extents).any()
    assert occluded > SCENES / 5


def test_what_is_drawn_is_balanced(samples):
    things = [thing for scene, *_ in samples for thing in scene.things]
    assert set(Counter(len(scene.things) for scene, *_ in samples)) == {2, 3, 4, 5}
    for values, names in ((SHAPES, "shape"), (COLOURS, "colour"), (SIZES, "size")):
        counts = Counter(getattr(thing, names) for thing in things)
        assert min(counts[value] for value in values) > 0.6 * len(things) / len(values), counts
    assert {scene.ground.kind for scene, *_ in samples} == {"checker", "stripes", "noise"}


def test_colours_can_be_read_from_the_image(samples):
    right = total = 0
    names = list(COLOUR_RGB)
    hues = np.array([COLOUR_RGB[name] for name in names])
    hues /= np.linalg.norm(hues, axis=1, keepdims=True)
    for scene, labels, _, files in samples:
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
    for scene, labels, record, files in samples:
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
    assert len(ids) == sum(len(scene.things) for scene, *_ in samples)


def test_depth_is_stored_in_thousandths(samples):
    for scene, _, _, files in samples[:10]:
        stored = decode_depth(files["depth.png"], "test")
        assert stored.dtype == np.uint16 and stored.min() > 0
        assert np.abs(stored / DEPTH_SCALE - render_scene(scene, 48)[2]).max() <= 0.5 / DEPTH_SCALE + 1e-5


def described(scene: Scene, labels: np.ndarray) -> dict[str, dict]:
    """What the tests know of each thing, worked out from the label map and the geometry alone."""
    axis = np.array([0, math.cos(scene.camera.pitch), -math.sin(scene.camera.pitch)])
    known = {}
    for number, thing in enumerate(scene.things, start=1):
        rows, columns = np.nonzero(labels == number)
        x, y = columns.mean() + 0.5, rows.mean() + 0.5
        centre = np.array([thing.x, thing.y, RADII[thing.size] * SOLIDS[thing.shape].height / 2])
        known[f"{thing.colour} {thing.shape}"] = {
            "thing": thing,
            "x": x,
            "y": y,
            "column": "left" if x < 16 else "middle" if x < 32 else "right",
            "row": "top" if y < 16 else "middle" if y < 32 else "bottom",
            "centre": centre,
            "depth": float((centre - scene.camera.position) @ axis),
        }
    return known


def count_of(noun: str, known: dict[str, dict]) -> int:
    """How many things a plural noun phrase stands for."""
    words = [word.removesuffix("s") for word in noun.split()]
    looks = [{"thing", *name.split(), item["thing"].size} for name, item in known.items()]
    return sum(all(word in look for word in words) for look in looks)


def derived_answer(kind: str, text: str, known: dict[str, dict]) -> str:
    """The answer to a question, parsed from its text."""
    pair = r"(\w+ \w+)"
    if kind == "count":
        return NUMBERS[count_of(re.fullmatch(r"how many ([\w ]+) are there \?", text)[1], known)]
    if kind == "arithmetic":
        noun, operation, operand = re.fullmatch(r"how many ([\w ]+) (plus|minus) (\w+) \?", text).groups()
        result = count_of(noun, known) + (1 if operation == "plus" else -1) * NUMBERS.index(operand)
        assert result >= 0
        return NUMBERS[result]
    if kind == "parity":
        noun, parity = re.fullmatch(r"is the number of ([\w ]+) (even|odd) \?", text).groups()
        return "yes" if count_of(noun, known) % 2 == ("even", "odd").index(parity) else "no"
    if kind == "existence":
        return "yes" if re.fullmatch(rf"is there a {pair} \?", text)[1] in known else "no"
    if kind == "relation":
        pattern = rf"is the {pair} (left or right of|above or below) the {pair} \?"
        one, relation, other = re.fullmatch(pattern, text).groups()
        axis, answers = ("x", ("left", "right")) if relation.startswith("left") else ("y", ("above", "below"))
        shift = known[one][axis] - known[other][axis]
        assert abs(shift) >= 5 - 1e-6
        return answers[int(shift > 0)]
    if kind == "depth_order":
        one, other = re.fullmatch(rf"which is closer , the {pair} or the {pair} \?", text).groups()
        assert abs(known[one]["depth"] - known[other]["depth"]) > 0.5
        return min(one, other, key=lambda name: known[name]["depth"]).split()[0]
    if kind == "distance":
        pattern = rf"which is nearer to the {pair} , the {pair} or the {pair} \?"
        anchor, *others = re.fullmatch(pattern, text).groups()
        gaps = [float(np.linalg.norm(known[name]["centre"] - known[anchor]["centre"])) for name in others]
        assert max(gaps) > 1.2 * min(gaps)
        return others[gaps.index(min(gaps))].split()[0]
    if kind == "location":
        axis, name = re.fullmatch(rf"which (column|row) is the {pair} in \?", text).groups()
        place = known[name]["x" if axis == "column" else "y"]
        assert min(abs(place - 16), abs(place - 32)) >= 1.5 - 1e-6
        return known[name][axis]
    asked_for, phrase = re.fullmatch(r"what (colour|shape|size) is the ([\w ]+) \?", text).groups()
    looks = [(item["thing"], {"thing", *name.split(), item["thing"].size}) for name, item in known.items()]
    (thing,) = [thing for thing, look in looks if set(phrase.split()) <= look]
    assert getattr(thing, asked_for) not in phrase.split()
    return getattr(thing, asked_for)


def test_every_answer_follows_from_the_geometry(samples):
    for scene, labels, record, _ in samples:
        known = described(scene, labels)
        for question in record["questions"]:
            answer = derived_answer(question["kind"], question["question"], known)
            assert question["answer"] == answer, (record["image"]["file_name"], question)
            assert answer in question["options"] and len(set(question["options"])) == len(question["options"]) > 1
            if question["kind"] == "existence" and answer == "no":
                colour, shape = question["question"].split()[3:5]
                assert any(colour in name or shape in name for name in known)


def test_questions_cover_every_kind_without_repeats(samples):
    assert len({question["id"] for *_, record, _ in samples for question in record["questions"]}) == sum(
        len(record["questions"]) for *_, record, _ in samples
    )
    kinds = Counter()
    for *_, record, _ in samples:
        texts = [question["question"] for question in record["questions"]]
        assert 12 <= len(texts) <= 16 and len(set(texts)) == len(texts)
        kinds.update({question["kind"] for question in record["questions"]})
    assert set(kinds) == set(KINDS)
    assert min(kinds.values()) > SCENES / 2, kinds
    assert all(kinds[kind] == SCENES for kind in ("count", "existence", "arithmetic", "parity")), kinds


def test_answers_are_balanced(samples):
    answers = {kind: Counter() for kind in KINDS}
    for *_, record, _ in samples:
        for question in record["questions"]:
            answers[question["kind"]][question["answer"]] += 1
    share = {kind: {answer: n / counts.total() for answer, n in counts.items()} for kind, counts in answers.items()}
    for kind in ("existence", "parity"):
        assert abs(share[kind]["yes"] - 0.5) < 0.12, share[kind]
    assert all(0.17 < share["relation"][answer] < 0.33 for answer in ("left", "right", "above", "below"))
    limits = {"count": 0.4, "arithmetic": 0.3, "depth_order": 0.3, "distance": 0.3, "location": 0.55, "attribute": 0.3}
    assert all(max(share[kind].values()) < limit for kind, limit in limits.items()), share
    first = [
        question["answer"] == question["options"][0]
        for *_, record, _ in samples
        for question in record["questions"]
        if question["kind"] in ("depth_order", "distance")
    ]
    assert 0.4 < np.mean(first) < 0.6


def test_captions_and_scene_objects_match_the_geometry(samples):
    columns = ("left", "middle", "right")
    for scene, labels, record, _ in samples:
        known = described(scene, labels)
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
    for *_, record, _ in samples:
        turns = record["conversations"]
        assert [turn["from"] for turn in turns] == ["human", "gpt"] * (len(turns) // 2)
        assert turns[0]["value"].startswith("<image>\n")
        texts = [turn["value"].removeprefix("<image>\n") for turn in turns]
        pairs = list(zip(texts[::2], texts[1::2], strict=True))
        assert pairs.pop() == ("describe the scene", record["caption"])
        assert pairs == [(question["question"], question["answer"]) for question in record["questions"]]
        used.update(word for text in texts for word in text.split())
    assert used <= set(WORDS)
    assert set(WORDS) - used <= set(NUMBERS)


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
