"""Targets of small cases that are worked out by hand."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco
from skimage import data as photographs

from sgt.data.shards import Sample
from sgt.errors import SgtError
from sgt.proxies import PROXIES
from sgt.proxies.labels import Labels, neighbours
from sgt.proxies.palettes import palette
from sgt.proxies.tasks.edge import sobel
from tests.proxies.samples import annotated, rle, sample_of

COLOURS = 20
PALETTE = palette("distinct", COLOURS)


def render(name: str, pixels: np.ndarray, **about) -> np.ndarray:
    return np.asarray(PROXIES[name].render(Image.fromarray(pixels), sample_of(pixels, **about)))


def segment(annotations: list, height: int, width: int) -> np.ndarray:
    return render("segmentation", np.zeros((height, width, 3), np.uint8), annotations=annotations)


@pytest.fixture(params=["astronaut", "coffee", "chelsea"])
def photograph(request):
    pixels = getattr(photographs, request.param)()[::4, ::4]
    return np.ascontiguousarray(pixels)


def test_colours_go_left_to_right_whatever_the_ids():
    labels = np.zeros((4, 9), int)
    labels[1:3, 6:8], labels[:, 0:2], labels[0, 3] = 1, 7, 5
    expected = np.zeros((4, 9), int)
    expected[:, 0:2], expected[0, 3], expected[1:3, 6:8] = 1, 2, 3
    assert (segment(annotated(labels), 4, 9) == expected).all()
    assert (segment(annotated(labels)[::-1], 4, 9) == expected).all()


def test_smaller_masks_stay_on_top_of_larger_and_later_ids_of_equal():
    big, small = np.zeros((2, 6), bool), np.zeros((2, 6), bool)
    big[:, :4], small[0, 3:5] = True, True
    for ids in ((1, 2), (2, 1)):
        pair = [{"id": ids[0], "segmentation": rle(big)}, {"id": ids[1], "segmentation": rle(small)}]
        assert segment(pair, 2, 6).tolist() == [[1, 1, 1, 2, 2, 0], [1, 1, 1, 1, 0, 0]]
    left, right = np.zeros((1, 4), bool), np.zeros((1, 4), bool)
    left[0, :3], right[0, 1:] = True, True
    equal = [{"id": 4, "segmentation": rle(left)}, {"id": 9, "segmentation": rle(right)}]
    assert segment(equal, 1, 4).tolist() == [[1, 2, 2, 2]]


def test_a_hidden_instance_takes_no_colour():
    hidden, cover = np.zeros((2, 4), bool), np.zeros((2, 4), bool)
    hidden[0, 0], cover[0, 0] = True, True
    annotations = [{"id": number, "segmentation": rle(mask)} for number, mask in ((1, hidden), (2, cover))]
    assert segment(annotations, 2, 4).tolist() == [[1, 0, 0, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize("seed", range(3))
def test_touching_instances_never_share_a_colour_even_beyond_the_palette(seed):
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 60, (90, 2))
    grid = np.stack(np.meshgrid(np.arange(60), np.arange(60), indexing="ij"), -1) + 0.5
    labels = ((grid[:, :, None] - points) ** 2).sum(-1).argmin(-1) + 1
    target = segment(annotated(labels), 60, 60)
    pairs = [(one, other) for one, others in neighbours(Labels.of_columns(labels, ())).items() for other in others]
    assert len(np.unique(labels)) > 60 and len(pairs) > 200
    of = {label: target[labels == label] for label in np.unique(labels)}
    assert all(len(set(colours)) == 1 for colours in of.values())
    assert all(of[one][0] != of[other][0] for one, other in pairs)
    assert set(np.unique(target)) == set(range(1, COLOURS + 1))


def test_neighbours_count_diagonals():
    for labels in ([[1, 0, 0], [0, 2, 0], [0, 0, 0], [3, 0, 0]], [[0, 1], [2, 0]]):
        assert neighbours(Labels.of_columns(np.array(labels), ())) == {1: {2}, 2: {1}}


def test_the_png_has_the_palette_and_nothing_else():
    labels = np.arange(1, 21).reshape(4, 5)
    pixels = np.zeros((4, 5, 3), np.uint8)
    target = PROXIES["segmentation"].render(Image.fromarray(pixels), sample_of(pixels, annotated(labels)))
    assert target.mode == "P"
    assert set(target.convert("RGB").get_flattened_data()) == set(PALETTE[1:])


def test_a_mask_that_touches_more_instances_than_there_are_colours_keeps_one_of_its_own():
    labels = np.zeros((3, 41), int)
    labels[0], labels[1], labels[2] = np.arange(1, 42), 50, np.arange(51, 92)
    target = segment(annotated(labels), 3, 41)
    assert not (target[1, 0] == target[[0, 2]]).any() and set(np.unique(target)) == set(range(1, 21))


def test_instances_that_all_touch_one_another_need_a_colour_each():
    masks = [np.zeros((23, 46), bool) for _ in range(22)]
    for number, mask in enumerate(masks):
        # A comb: each mask's tooth crosses a row of every other one.
        mask[number, :] = True
        mask[:, 2 * number] = True
    annotations = [{"id": number + 1, "segmentation": rle(mask)} for number, mask in enumerate(masks)]
    with pytest.raises(SgtError, match="touches instances of all 20 colours; give the study more colours"):
        segment(annotations, 23, 46)


def test_rle_and_polygons_are_read_as_pycocotools_reads_them():
    rng = np.random.default_rng(0)
    for _ in range(50):
        height, width = rng.integers(1, 40, 2).tolist()
        mask = rng.random((height, width)) < rng.random()
        mask[0, 0] = True
        flat = mask.ravel("F")
        runs = [len(run) for run in np.split(flat, np.flatnonzero(np.diff(flat)) + 1)]
        plain = {"size": [height, width], "counts": [0, *runs]}
        for segmentation in (rle(mask), plain):
            target = segment([{"id": 1, "segmentation": segmentation}], height, width)
            assert (target.astype(bool) == mask).all()
    for _ in range(50):
        polygons = [rng.uniform(-5, 45, 2 * rng.integers(3, 8)).tolist() for _ in range(rng.integers(1, 3))]
        merged = coco.decode(coco.merge(coco.frPyObjects(polygons, 40, 40)))
        target = segment([{"id": 1, "segmentation": polygons}], 40, 40)
        assert (target == merged).all()


@pytest.mark.parametrize(
    ("segmentation", "problem"),
    [
        ({"size": [4, 5], "counts": "0"}, r"RLE of size \[4, 5\], image \[4, 4\]"),
        ({"size": [4, 4], "counts": [3, 4]}, "add up to 7, the image has 16 pixels"),
        ({"size": [4, 4], "counts": [20, -4]}, "not all whole numbers from 0"),
        ({"size": [4, 4], "counts": [True, 15]}, "not all whole numbers from 0"),
        ({"size": [4, 4], "counts": "\x7f\x7f"}, "malformed RLE"),
        ({"size": [4, 4], "counts": "P" * 200}, "malformed RLE"),
        ({"size": [4, 4], "counts": "P"}, "ends in the middle of a number"),
        ({"size": [4, 4], "counts": "P" * 12 + "0"}, "a number too large"),
        ({"size": [4, 4], "counts": "ooooooO0ooooooO0"}, "add up to|not all whole numbers"),
        ({"size": [4, 4], "counts": "oooooo?" * 300}, "add up to|not all whole numbers"),
        ({"size": [4, 4], "counts": [2**62, 2**62]}, "not all whole numbers from 0"),
        ({"size": [4, 4], "counts": [0, 2**31 - 1, 2**31 - 1]}, "add up to 2147483647"),
        ({"size": [4, 4], "counts": [[0, 16]]}, "not all whole numbers from 0"),
        ({"size": [4, 4], "counts": "漢0"}, "characters outside ASCII"),
        ({"size": [4, 4], "counts": ""}, "add up to 0"),
        ({"size": [4, 4], "counts": None}, "neither text nor a list"),
        ({"size": [4, 4]}, "no RLE or polygon"),
        ("mask", "no RLE or polygon"),
        ({}, "no RLE or polygon"),
        ([[0, 0, 1, 1, 2]], "at least three x, y pairs"),
        ([[0, 0, 1, 1, 2, 1e12]], "not near the image"),
        ([[0, 0, 1, 1, 2, float("nan")]], "not near the image"),
    ],
)
def test_malformed_masks_are_refused_before_native_code_reads_them(segmentation, problem):
    with pytest.raises(SgtError, match=f"shard.tar: key.json: annotation 3: .*{problem}"):
        segment([{"id": 3, "segmentation": segmentation}], 4, 4)


def test_masks_that_cover_the_image_over_and_over_are_refused():
    whole = {"size": [4, 4], "counts": [0, 16]}
    with pytest.raises(SgtError, match=r"key\.json: the masks cover the image 101 times"):
        segment([{"id": number, "segmentation": whole} for number in range(101)], 4, 4)
    with pytest.raises(SgtError, match=r"10001 annotations are too many"):
        segment([{"id": number, "segmentation": whole} for number in range(10_001)], 4, 4)


def test_annotations_need_ids_of_their_own():
    whole = rle(np.ones((2, 2), bool))
    for annotations, problem in (
        ([{"segmentation": whole}], r"annotations\[0\]: no whole-number id"),
        ([{"id": 1, "segmentation": whole}] * 2, "two annotations have this id"),
        ({"id": 1}, "no list of annotations"),
    ):
        with pytest.raises(SgtError, match=problem):
            segment(annotations, 2, 2)


def test_depth_is_inverse_near_bright_and_black_where_unknown():
    depth = np.array([[1000, 2000, 4000, 0]], np.uint16).repeat(2, 0)
    target = render("depth", np.zeros((2, 4, 3), np.uint8), depth=depth)
    # Inverse depths 1, 1/2, 1/4 per 1000 lie at 1, 1/3 and 0 of their range; the percentiles cut next to nothing off.
    assert target[0].tolist() == pytest.approx([255, 85, 0, 0], abs=4)
    assert target.dtype == np.uint8


def test_depth_never_reverses_an_order(photograph):
    depth = np.random.default_rng(0).integers(1, 2**16, photograph.shape[:2], dtype=np.uint16)
    target = render("depth", photograph, depth=depth).ravel().astype(int)
    assert (np.diff(target[np.argsort(depth.ravel(), kind="stable")]) <= 0).all()
    assert target.min() == 0 and target.max() == 255


def test_depth_of_a_flat_or_unknown_scene_is_black():
    for value in (0, 700):
        depth = np.full((3, 3), value, np.uint16)
        assert not render("depth", np.zeros((3, 3, 3), np.uint8), depth=depth).any()


def test_depth_of_another_size_is_refused():
    with pytest.raises(SgtError, match=r"key.depth.png: 3x2, image \(4, 2\)"):
        render("depth", np.zeros((2, 4, 3), np.uint8), depth=np.ones((2, 3), np.uint16))


def test_edges_of_a_step_are_two_white_columns_on_black():
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:, 8:] = 255
    target = np.asarray(PROXIES["edge"].render(Image.fromarray(pixels), sample_of(pixels)))
    expected = np.zeros((16, 16), np.uint8)
    expected[:, 7:9] = 255
    assert (target == expected).all()
    assert not np.asarray(PROXIES["edge"].render(Image.fromarray(pixels[:, :8]), sample_of(pixels))).any()


def test_a_thing_as_bright_as_its_background_has_an_edge_in_colour_alone():
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:, :8], pixels[:, 8:] = (130, 0, 0), (0, 66, 0)
    image, edge = Image.fromarray(pixels), PROXIES["edge"]
    assert len(np.unique(np.asarray(image.convert("L")))) == 1
    assert not np.asarray(edge.render(image, sample_of(pixels))).any()
    colour = type(edge)(edge.Options(task="edge", channels="colour"))
    lines = np.asarray(colour.render(image, sample_of(pixels)))
    assert (lines[:, 7:9] == 255).all() and not np.delete(lines, [7, 8], axis=1).any()


def test_sobel_of_a_ramp_is_eight_times_its_slope():
    ramp = np.arange(6.0)[None].repeat(5, 0) * 3
    assert (sobel(ramp)[:, 1:-1] == 24).all() and (sobel(ramp.T)[1:-1] == 24).all()


def test_reconstruction_and_inpainting_ask_for_the_image_itself(photograph):
    for name in ("reconstruction", "inpainting"):
        image = Image.fromarray(photograph)
        assert (np.asarray(PROXIES[name].render(image, sample_of(photograph))) == photograph).all()


def test_strokes_and_rectangles_have_one_colour_and_leave_some_of_the_image(photograph):
    shown = np.asarray(PROXIES["inpainting"].condition(Image.fromarray(photograph), np.random.default_rng(1)))
    changed = (shown != photograph).any(-1)
    assert 0 < changed.mean() < 0.95
    assert len(np.unique(shown[changed].reshape(-1, 3), axis=0)) == 1


def test_the_levels_of_proxies():
    levels = {name: PROXIES[name].level for name in ("segmentation", "detection", "depth", "normals", "edge", "deblur")}
    assert list(levels.values()) == ["high", "high", "mid", "mid", "low", "low"]


def test_a_record_of_questions_has_nothing_to_segment_or_detect():
    pixels = np.zeros((4, 4, 3), np.uint8)
    annotated_sample = sample_of(pixels, [])
    questions = Sample(Path("s"), "k", {**sample_of(pixels).files, "json": b'{"questions": []}'})
    for name in ("segmentation", "detection"):
        assert PROXIES[name].applies_to(annotated_sample) and not PROXIES[name].applies_to(questions)
