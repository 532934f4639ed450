"""How like its true target an image is, by each proxy's own measures, on cases that were worked out by hand."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from sgt.data.dataset import open_dataset
from sgt.data.images import image_of
from sgt.data.mixture import generator
from sgt.proxies import PROXIES, make_proxy, proxy_options
from sgt.proxies.fidelity import aligned, class_iou, correlation, edge_f1, matched_iou, psnr, regions
from sgt.proxies.render import target_of

RED, GREEN, BLUE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)


def picture(*rows: str) -> np.ndarray:
    """A label map from digits."""
    return np.array([[int(digit) for digit in row] for row in rows])


def values(name: str, made: Image.Image, target: Image.Image, given: Image.Image | None = None, **options) -> dict:
    """A proxy's measures by name."""
    proxy = make_proxy(proxy_options({"task": name, **options}))
    found = proxy.fidelity(made.convert("RGB"), target.convert("RGB"), (given or target).convert("RGB"))
    return {measure.name: value for measure, value in found.items()}


def test_psnr_of_known_errors():
    black = np.zeros((4, 4, 3), np.uint8)
    assert psnr(black, black + np.uint8(51)) == pytest.approx(20 * np.log10(5))
    # The error of rounding to whole numbers.
    assert psnr(black, black) == pytest.approx(20 * np.log10(255) + 10 * np.log10(12))
    assert np.isnan(psnr(black[:0], black[:0]))


def test_matched_iou_of_two_segments_by_hand():
    true = picture("1122", "1122")
    assert matched_iou(true, true) == 1
    assert matched_iou(picture("2211", "2211"), true) == 1
    # One of four pixels of each segment is in the other: 3/5 both.
    assert matched_iou(picture("1112", "1222"), true) == pytest.approx(3 / 5)
    # One made segment serves one true segment alone: 1/2 and 0.
    assert matched_iou(picture("1111", "1111"), true) == pytest.approx(1 / 4)
    # A second piece of a segment costs its pixels: 2/4 and 1.
    assert matched_iou(picture("1322", "1322"), true) == pytest.approx((1 / 2 + 1) / 2)
    assert matched_iou(picture("0000", "0000"), true) == 0
    assert np.isnan(matched_iou(true, picture("0000", "0000")))
    # The background is no segment, wherever it is.
    assert matched_iou(picture("0022", "0022"), picture("0011", "0011")) == 1


def test_regions_are_the_connected_parts_of_a_colour():
    found = regions(picture("1101", "0011", "2200"))
    assert found[0, 0] == found[0, 1] and found[0, 3] == found[1, 2] == found[1, 3]
    assert found[2, 0] == found[2, 1] != found[0, 0] and set(found.ravel()) == {0, 1, 2}
    speck = np.zeros((48, 48), int)
    speck[0, 0], speck[9:12, 9:12] = 1, 1
    assert set(regions(speck).ravel()) == {0, 1} and regions(speck)[0, 0] == 0


def test_segments_count_whatever_their_colours_are_and_categories_do_not():
    target = np.zeros((24, 24, 3), np.uint8)
    target[2:10, 2:10], target[2:10, 14:22], target[14:22, 2:10] = RED, GREEN, RED
    other = np.zeros_like(target)
    # The two of the same colour get two colours, near those of the palette.
    other[2:10, 2:10], other[2:10, 14:22], other[14:22, 2:10] = (250, 10, 240), (10, 5, 250), (245, 250, 5)
    made, true = Image.fromarray(other), Image.fromarray(target)
    assert values("segmentation", made, true) == {"matched IoU": 1}
    assert values("segmentation", true, true, granularity="semantic") == {"mean IoU": 1}
    assert values("segmentation", made, true, granularity="semantic") == {"mean IoU": 0}
    assert class_iou(picture("1133"), picture("1122")) == pytest.approx(1 / 2)


def test_depth_is_compared_up_to_scale_and_shift():
    ramp = np.tile(np.linspace(30, 250, 48).round().astype(np.uint8), (48, 1))
    found = values("depth", Image.fromarray(ramp // 2 + 40), Image.fromarray(ramp))
    assert found["correlation"] == pytest.approx(1, abs=1e-3) and found["AbsRel"] < 0.02
    turned = values("depth", Image.fromarray(255 - ramp), Image.fromarray(ramp))
    assert turned["correlation"] == pytest.approx(-1)
    flat = values("depth", Image.new("L", (48, 48), 100), Image.fromarray(ramp))
    # All that a flat image can have is the mean of the true ones.
    true = ramp / 255
    assert flat["correlation"] == 0
    assert flat["AbsRel"] == pytest.approx((abs(true - true.mean()) / true)[true >= 0.1].mean())
    # What is unknown, and so black, does not count.
    holes = ramp.copy()
    holes[:, :9] = 0
    made = ramp.copy()
    made[:, :9] = 255
    assert values("depth", Image.fromarray(made), Image.fromarray(holes))["correlation"] == pytest.approx(1)
    assert all(np.isnan(value) for value in values("depth", Image.fromarray(ramp), Image.new("L", (48, 48))).values())


def test_depth_in_colours_is_read_back():
    proxy = make_proxy(proxy_options({"task": "depth", "colours": "inferno"}))
    inverse = np.tile(np.linspace(1, 2, 48), (48, 1))
    target = proxy._to_image(inverse).convert("RGB")
    found = {measure.name: value for measure, value in proxy.fidelity(target, target, target).items()}
    assert found == {"correlation": pytest.approx(1), "AbsRel": pytest.approx(0)}
    assert correlation(proxy._inverse(target), inverse) == pytest.approx(1, abs=1e-3)


def test_depth_of_16_bits_is_compared_as_models_learn_it(prepared):
    sample = open_dataset(prepared / "results/shards/test")[0]
    targets = [
        target_of(make_proxy(proxy_options({"task": "depth", "bits": bits})), sample).convert("RGB") for bits in (8, 16)
    ]
    assert abs(np.subtract(*(np.asarray(target, int) for target in targets))).max() <= 1


def test_alignment_is_the_best_scale_and_shift():
    x = np.array([0.0, 1.0, 2.0, 5.0])
    np.testing.assert_allclose(aligned(x, 3 - 2 * x), 3 - 2 * x)
    y = np.array([1.0, 0.0, 4.0, 4.0])
    slope, shift = np.polyfit(x, y, 1)
    np.testing.assert_allclose(aligned(x, y), slope * x + shift)


def test_f1_of_edges_by_hand():
    line = np.zeros((48, 48), bool)
    line[:, 20] = True
    assert edge_f1(line, line) == 1
    # One pixel beside is within the tolerance, two are not.
    assert edge_f1(np.roll(line, 1, axis=1), line) == 1
    assert edge_f1(np.roll(line, 2, axis=1), line) == 0
    # Half of the line: all of it is right, and with the pixel beyond its end 25 of 48 are found.
    half = line.copy()
    half[24:] = False
    recall = 25 / 48
    assert edge_f1(half, line) == pytest.approx(2 * recall / (1 + recall))
    assert edge_f1(np.zeros_like(line), line) == 0
    assert np.isnan(edge_f1(line, np.zeros_like(line)))
    # The tolerance grows with the image: 0.0075 of a diagonal of 724 pixels are 5.
    large = np.zeros((512, 512), bool)
    large[:, 100] = True
    assert edge_f1(np.roll(large, 5, axis=1), large) == 1 and edge_f1(np.roll(large, 6, axis=1), large) == 0
    grey = Image.fromarray((line * 200).astype(np.uint8))
    assert values("edge", grey, grey) == {"edge F1": 1}
    assert values("edge", grey.point(lambda value: value // 2), grey) == {"edge F1": 0}


def test_normals_are_compared_by_their_angle():
    up, towards = Image.new("RGB", (8, 8), (128, 255, 128)), Image.new("RGB", (8, 8), (128, 128, 255))
    assert values("normals", up, towards)["angular error"] == pytest.approx(90, abs=0.5)
    assert values("normals", up, up)["angular error"] == pytest.approx(0, abs=1e-4)


def test_what_was_covered_counts_alone_too():
    target, given = Image.new("RGB", (16, 16), (100, 100, 100)), Image.new("RGB", (16, 16), (100, 100, 100))
    given.paste(BLACK, (0, 0, 8, 16))
    made = target.copy()
    made.paste((110, 110, 110), (0, 0, 8, 16))
    found = values("inpainting", made, target, given)
    assert list(found) == ["PSNR", "SSIM", "PSNR of the covered part"]
    assert found["PSNR of the covered part"] == pytest.approx(20 * np.log10(255 / 10))
    assert found["PSNR"] == pytest.approx(found["PSNR of the covered part"] + 10 * np.log10(2))
    assert np.isnan(values("inpainting", made, target, target)["PSNR of the covered part"])


@pytest.mark.parametrize(
    "name", ["segmentation", "depth", "normals", "edge", "reconstruction", "inpainting", "detection"]
)
def test_a_target_beats_a_blurred_one_and_that_beats_another_scenes(name, prepared):
    proxy, dataset = PROXIES[name], open_dataset(prepared / "results/shards/test")
    samples = [dataset[place] for place in range(12)]
    targets = [target_of(proxy, sample).convert("RGB") for sample in samples]
    given = [
        proxy.condition(image_of(sample), generator(0, "condition", place)) for place, sample in enumerate(samples)
    ]
    means = {}
    for kind, made in {
        "same": targets,
        "blurred": [target.filter(ImageFilter.GaussianBlur(0.7)) for target in targets],
        "other": targets[1:] + targets[:1],
    }.items():
        rows = [proxy.fidelity(*each) for each in zip(made, targets, given, strict=True)]
        means[kind] = {measure: np.nanmean([row[measure] for row in rows]) for measure in rows[0]}
    for measure in means["same"]:
        sign = 1 if measure.higher_is_better else -1
        same, blurred, other = (sign * means[kind][measure] for kind in ("same", "blurred", "other"))
        assert same > blurred > other, measure
        low, high = measure.range
        for kind in means.values():
            assert (low is None or kind[measure] >= low - 1e-9) and (high is None or kind[measure] <= high + 1e-9)
