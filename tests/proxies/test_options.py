"""What a study can choose about a proxy, and the proxies beside the paper's five."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import colormaps
from PIL import Image
from safetensors.torch import load_file, save_file
from skimage import data as photographs
from transformers import DepthAnythingForDepthEstimation

from sgt.commands.main import main
from sgt.data.images import decode_target, encode_jpeg, encode_png
from sgt.data.shards import Sample, ShardWriter, read_shard
from sgt.errors import SgtError
from sgt.proxies import PROXIES
from sgt.proxies.palettes import MAX_COLOURS, palette
from sgt.proxies.render import encode_target, proxy_with
from sgt.proxies.tasks.edge import canny
from sgt.proxies.tasks.inpainting import PATCH_GREY
from sgt.proxies.tasks.normals import normals
from tests.data.sources.releases import write_depth_anything

PHOTOGRAPH = np.ascontiguousarray(photographs.astronaut()[::4, ::4])
SEGMENTS = np.array([[0, 0, 7, 7], [0, 300, 300, 7], [70000, 300, 300, 7]])


def proxy(name: str, **options):
    return proxy_with(name, json.dumps(options))


def sample_of(pixels: np.ndarray, **files: bytes) -> Sample:
    members = {name.replace("_", "."): content for name, content in files.items()}
    return Sample(Path("shard.tar"), "key", {"jpg": encode_jpeg(pixels), **members})


def record(annotations: list) -> bytes:
    return json.dumps({"annotations": annotations}).encode()


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("edge", {"method": "sobel"}, "'gradient' or 'canny'"),
        ("edge", {"sigma": 2}, "method gradient has no sigma"),
        ("edge", {"method": "canny", "low": 0.5, "high": 0.2}, "low 0.5 is above high 0.2"),
        ("edge", {"method": "canny", "channels": "colour"}, "method canny has no channels"),
        ("edge", {"metod": "canny"}, "--options metod: Extra inputs"),
        ("segmentation", {"palette": "tab20", "colours": 21}, "palette tab20 has 20 colours, not 21"),
        ("segmentation", {"granularity": "stuff", "overlap": "larger"}, "granularity stuff has no overlap"),
        ("segmentation", {"granularity": "semantic", "colours": 9}, "granularity semantic has no colours"),
        ("depth", {"estimator": "depth-anything-v2"}, "give both or neither"),
        ("depth", {"bits": 16, "colours": "inferno"}, "colour map inferno has 8 bits"),
        ("inpainting", {"ratio": 0.5}, "corruption strokes has no ratio"),
        ("denoise", {"level": 3}, "Extra inputs"),
    ],
)
def test_invalid_options_are_refused_in_one_line(name, options, said):
    with pytest.raises(SgtError, match="--options") as caught:
        proxy(name, **options)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_options_are_part_of_the_command_and_of_the_report(tmp_path):
    with ShardWriter(tmp_path / "in.tar") as shard:
        shard.add("key", {"jpg": encode_jpeg(PHOTOGRAPH)})
    words = ["render", "edge", str(tmp_path / "in.tar"), str(tmp_path / "out.tar"), "--options", '{"method": "canny"}']
    assert main(words) == 0
    assert json.loads((tmp_path / "out.json").read_text())["options"]["method"] == "canny"
    (target,) = read_shard(tmp_path / "out.tar")
    assert set(np.unique(np.asarray(Image.open(io.BytesIO(target.get("png")))))) == {0, 255}
    for text in ("{", "[]", '"canny"'):
        assert main([*words[:-1], text]) == 1


def test_canny_thresholds_are_shares_of_the_largest_gradient():
    grey = np.zeros((40, 90))
    # Three bars: strong, at 0.5 of its gradient, and at 0.15 of it.
    grey[:, 10:20], grey[:, 40:50], grey[:, 70:80] = 200, 100, 30

    def bars(low: float, high: float, contrast: float = 1.0) -> list[bool]:
        lines = canny(contrast * grey, 1.0, low, high)
        return [bool(lines[:, left : left + 30].any()) for left in (0, 30, 60)]

    assert bars(0.1, 0.6) == [True, False, False] and bars(0.1, 0.4) == [True, True, False]
    assert bars(0.1, 0.12) == [True, True, True] and bars(0.2, 0.4, contrast=0.1) == [True, True, False]
    # A line that is strong somewhere goes on where it is only above the low threshold.
    fading = np.zeros((40, 40))
    fading[:, 20:] = np.linspace(200, 60, 40)[:, None]
    assert canny(fading, 1.0, 0.2, 0.9)[1:-1].any(axis=1).all()
    assert not canny(fading, 1.0, 0.8, 0.9)[30:].any()


def test_other_pixels_of_canny_are_another_version():
    assert proxy("edge").version == 1 and proxy("edge", method="canny").version == 2


def test_canny_lines_of_a_square_are_thin_and_closed():
    grey = np.zeros((40, 40))
    grey[10:30, 10:30] = 200
    lines = canny(grey, 1.0, 0.1, 0.2)
    assert lines.any() and not lines[14:26, 14:26].any() and not lines[:6].any()
    for row in lines[15:25]:
        assert row.sum() == 2
    assert not canny(np.full((9, 9), 7.0), 1.4, 0.1, 0.2).any()


def test_patches_hide_their_share_of_the_grid():
    image = Image.fromarray(np.full((64, 96, 3), 200, np.uint8))
    shown = np.asarray(
        proxy("inpainting", corruption="patches", ratio=0.5, patch=28).condition(image, np.random.default_rng(0))
    )
    # 28 of 224 is an eighth of the short side: squares of 8 pixels.
    cells = shown.reshape(8, 8, 12, 8, 3).transpose(0, 2, 1, 3, 4).reshape(96, -1)
    assert ((cells == 200).all(1) | (cells == PATCH_GREY).all(1)).all()
    assert (cells == PATCH_GREY).all(1).sum() == 48


def test_depth_in_sixteen_bits_and_in_colour():
    depth = np.random.default_rng(0).integers(500, 60000, (24, 32), dtype=np.uint16)
    pixels = np.zeros((24, 32, 3), np.uint8)
    sample = sample_of(pixels, depth_png=encode_png(depth))
    image = Image.fromarray(pixels)
    grey = np.asarray(proxy("depth").render(image, sample))
    fine = proxy("depth", bits=16).render(image, sample)
    assert fine.mode == "I;16"
    assert np.abs(np.asarray(fine) / 257 - grey).max() <= 0.51
    read = decode_target(encode_target(fine), "target")
    assert read.mode == "RGB" and (np.asarray(read) == (np.asarray(fine) >> 8)[:, :, None]).all()
    coloured = np.asarray(proxy("depth", colours="inferno").render(image, sample))
    assert (coloured == np.round(255 * colormaps["inferno"](grey)[:, :, :3])).all()


@pytest.fixture(scope="module")
def depth_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("depth") / "model"
    write_depth_anything(folder)
    return folder


def test_depth_anything_estimates_alone_as_in_a_batch(depth_model, tmp_path):
    shapes = [(60, 90), (90, 60), (60, 90), (48, 48)]
    with ShardWriter(tmp_path / "in.tar") as shard:
        for number, (height, width) in enumerate(shapes):
            part = np.ascontiguousarray(PHOTOGRAPH[number : number + height, :width])
            shard.add(f"key-{number}", {"jpg": encode_jpeg(part)})
    targets = {}
    for batch in (1, 3):
        options = {"estimator": "depth-anything-v2", "model": str(depth_model), "batch": batch}
        out = tmp_path / f"{batch}.tar"
        assert main(["render", "depth", str(tmp_path / "in.tar"), str(out), "--options", json.dumps(options)]) == 0
        targets[batch] = [np.asarray(decode_target(each.get("png"), "t")).astype(int) for each in read_shard(out)]
    assert [target.shape[:2] for target in targets[1]] == shapes
    assert all(np.abs(one - three).max() <= 1 for one, three in zip(targets[1], targets[3], strict=True))
    assert all(target.max() == 255 and len(np.unique(target)) > 20 for target in targets[1])
    assert proxy("depth", **options).downloads == (str(depth_model),)


def test_depth_anything_sees_what_the_library_would_show_it(depth_model):
    from sgt.proxies.depth_anything import DepthAnything

    image = Image.fromarray(PHOTOGRAPH[:100, :70])
    (estimate,) = DepthAnything(depth_model).estimate([image])
    # Of 100 x 70 to 56: the width changes less (0.8), so 80 x 56, whose height becomes 6 patches.
    resized = np.asarray(image.resize((56, 84), Image.Resampling.BICUBIC), np.float32) / 255
    pixels = (resized - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])
    model = DepthAnythingForDepthEstimation.from_pretrained(depth_model).eval()
    with torch.no_grad():
        wanted = model(pixel_values=torch.tensor(pixels).permute(2, 0, 1)[None]).predicted_depth[None]
    wanted = torch.nn.functional.interpolate(wanted, (100, 70), mode="bicubic")[0, 0].clamp(min=0)
    assert estimate.shape == (100, 70)
    np.testing.assert_allclose(estimate, wanted.numpy(), rtol=1e-4, atol=1e-5)


def test_a_model_of_metric_depth_is_refused_since_it_would_draw_near_things_dark(depth_model, tmp_path):
    shutil.copytree(depth_model, tmp_path / "metric")
    path = tmp_path / "metric/config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "depth_estimation_type": "metric", "max_depth": 20}))
    wanted = proxy("depth", estimator="depth-anything-v2", model=str(tmp_path / "metric"))
    with pytest.raises(SgtError, match="estimates metric depth, in which near is small"):
        wanted.render(Image.fromarray(PHOTOGRAPH), sample_of(PHOTOGRAPH))


def test_a_folder_without_a_depth_model_is_told(tmp_path):
    wanted = proxy("depth", estimator="depth-anything-v2", model=str(tmp_path))
    with pytest.raises(SgtError, match="no Depth Anything model"):
        wanted.render(Image.fromarray(PHOTOGRAPH), sample_of(PHOTOGRAPH))


def test_a_depth_model_that_lacks_a_weight_is_refused_and_not_made_up(depth_model, tmp_path):
    folder = shutil.copytree(depth_model, tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    del weights["head.conv3.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    wanted = proxy("depth", estimator="depth-anything-v2", model=str(folder))
    with pytest.raises(SgtError, match=r"1 weights are missing or of another shape, such as head\.conv3\.weight"):
        wanted.render(Image.fromarray(PHOTOGRAPH), sample_of(PHOTOGRAPH))


def test_palettes_have_no_colour_twice():
    for name, most in MAX_COLOURS.items():
        for count in (1, 20, most):
            colours = palette(name, count)
            assert len(set(colours)) == count + 1 and colours[0] == (0, 0, 0)
            assert colours == palette(name, most)[: count + 1]
    assert palette("tab20", 20)[1] == (31, 119, 180)


def square(number: int, left: int, side: int, category: int) -> dict:
    polygon = [left, 0, left + side, 0, left + side, side, left, side]
    return {"id": number, "segmentation": [polygon], "bbox": [left, 0, side, side], "category_id": category}


def test_a_category_has_its_colour_everywhere():
    pixels = np.zeros((10, 30, 3), np.uint8)
    squares = [square(1, 0, 5, 17), square(2, 10, 5, 90), square(3, 20, 5, 17)]
    semantic = proxy("segmentation", granularity="semantic")
    target = semantic.render(Image.fromarray(pixels), sample_of(pixels, json=record(squares)))
    assert [np.asarray(target)[2, place] for place in (2, 12, 22, 8)] == [17, 90, 17, 0]
    assert target.convert("RGB").getpixel((12, 2)) == semantic.palette[90]
    for category in (None, 0, 216, "cat", True):
        broken = sample_of(pixels, json=record([square(1, 0, 5, category)]))
        with pytest.raises(SgtError, match=r"annotation 1: category_id is .*, not 1 to 215"):
            semantic.render(Image.fromarray(pixels), broken)


def test_which_of_two_masks_is_on_top_and_the_smallest_that_counts():
    pixels = np.zeros((20, 20, 3), np.uint8)
    sample = sample_of(pixels, json=record([square(1, 0, 20, 1), square(2, 2, 4, 1)]))
    image = Image.fromarray(pixels)

    def colours(**options) -> int:
        return len(np.unique(np.asarray(proxy("segmentation", **options).render(image, sample))))

    assert (colours(), colours(overlap="larger"), colours(smallest=0.05), colours(smallest=0.03)) == (2, 1, 1, 2)


def test_the_segments_of_a_panoptic_map_take_colours_from_left_to_right():
    pixels = np.zeros((*SEGMENTS.shape, 3), np.uint8)
    coded = np.stack([SEGMENTS % 256, SEGMENTS // 256 % 256, SEGMENTS // 65536], axis=-1).astype(np.uint8)
    sample = sample_of(pixels, json=record([]), panoptic_png=encode_png(coded))
    image = Image.fromarray(pixels)
    panoptic = proxy("segmentation", granularity="panoptic")
    assert np.asarray(panoptic.render(image, sample)).tolist() == [[0, 0, 3, 3], [0, 2, 2, 3], [1, 2, 2, 3]]
    assert not panoptic.applies_to(sample_of(pixels, json=record([])))
    with pytest.raises(SgtError, match=r"panoptic\.png: 4x3, image \(4, 2\)"):
        panoptic.render(Image.fromarray(pixels[:2]), sample)


def test_a_stuff_map_keeps_its_numbers():
    pixels = np.zeros((2, 3, 3), np.uint8)
    numbers = np.array([[0, 92, 255], [157, 182, 183]], np.uint8)
    sample = sample_of(pixels, json=record([]), stuff_png=encode_png(numbers))
    target = proxy("segmentation", granularity="stuff").render(Image.fromarray(pixels), sample)
    assert np.asarray(target).tolist() == [[0, 92, 0], [157, 182, 183]]


def test_boxes_are_drawn_where_they_are_said_to_be():
    pixels = np.full((40, 60, 3), 9, np.uint8)
    boxes = [{"id": 1, "bbox": [30, 10, 20, 15]}, {"id": 2, "bbox": [4.0, 2.0, 10.0, 30.0]}]
    drawn = proxy("detection", line=0.02)
    target = np.asarray(drawn.render(Image.fromarray(pixels), sample_of(pixels, json=record(boxes))))
    first, second = palette("distinct", 20)[1:3]
    assert tuple(target[2, 4]) == tuple(target[31, 13]) == first
    assert tuple(target[10, 30]) == tuple(target[24, 49]) == second
    assert (target[15, 36] == 9).all() and (target != 9).any(-1).sum() == 2 * (10 + 28) + 2 * (20 + 13)
    for box in ([1, 2, 3], [0, 0, float("nan"), 4], [-5, 0, 9, 9], [0, 0, 1e9, 3], None, ["a", 0, 1, 1]):
        with pytest.raises(SgtError, match="annotation 1: bbox"):
            drawn.render(Image.fromarray(pixels), sample_of(pixels, json=record([{"id": 1, "bbox": box}])))


def test_normals_are_unknown_beside_unknown_depth_alone():
    depth = np.full((6, 8), 1000, np.uint16)
    depth[:, -1] = depth[0, 3] = 0
    sample = sample_of(np.zeros((6, 8, 3), np.uint8), depth_png=encode_png(depth))
    known = np.asarray(proxy("normals").render(Image.new("RGB", (8, 6)), sample)).any(axis=2)
    expected = np.ones((6, 8), bool)
    expected[:, -2:] = expected[0, 2:5] = expected[1, 3] = False
    assert (known == expected).all()


def test_normals_of_planes():
    facing = normals(np.full((9, 11), 3.0), 20)
    np.testing.assert_allclose(facing, np.broadcast_to([0, 0, 1], facing.shape), atol=1e-9)
    # The left wall of a corridor, z = 5 + x/2: it goes away to the right, and so it faces right.
    focal, columns = 20.0, np.arange(11) - 5
    depth = np.broadcast_to(5 / (1 - 0.5 * columns / focal), (9, 11))
    inner = normals(depth, focal)[1:-1, 1:-1]
    np.testing.assert_allclose(inner, np.broadcast_to(np.array([0.5, 0, 1]) / np.hypot(0.5, 1), inner.shape), atol=2e-3)
    # The floor, one below the camera, faces up.
    rows = np.arange(6, 15)
    floor = normals(np.broadcast_to((focal / rows)[:, None], (9, 11)), focal)
    assert (np.abs(inner[..., 1]) < 1e-9).all() and (floor[1:-1, 1:-1, 1] > 0).all()


def test_degradations_do_what_their_name_says():
    image = Image.fromarray(PHOTOGRAPH)
    pixels = PHOTOGRAPH.astype(float)

    def shown(name: str, seed: int) -> np.ndarray:
        return np.asarray(PROXIES[name].condition(image, np.random.default_rng(seed))).astype(float)

    def detail(values: np.ndarray) -> float:
        return np.abs(np.diff(values, axis=0)).mean() + np.abs(np.diff(values, axis=1)).mean()

    for name in ("inpainting", "denoise", "deblur", "super-resolution", "low-light", "derain"):
        assert any((shown(name, 0) != shown(name, seed)).any() for seed in (1, 2, 3))
    for seed in range(4):
        assert shown("low-light", seed).mean() < 0.55 * pixels.mean()
        assert detail(shown("deblur", seed)) < 0.9 * detail(pixels)
        assert detail(shown("super-resolution", seed)) < 0.9 * detail(pixels)
        assert np.abs(shown("denoise", seed) - pixels).mean() > 1
        assert shown("derain", seed).mean() > pixels.mean()
