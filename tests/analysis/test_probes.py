"""Linear probes find what was planted where it was planted, as well as it was, and nothing in shuffled labels."""

import numpy as np
import pytest

from sgt.analysis.embedding import embedded
from sgt.analysis.features import Features
from sgt.analysis.probe_record import line, numbers, probed_items
from sgt.analysis.probes import probe_layers
from sgt.analysis.probing import SHARES, TEST, TRAIN, VALIDATION, split_of
from sgt.errors import SgtError
from sgt.evaluation.statistics import paired_difference, proportion

WIDTH, IMAGES, PER_IMAGE = 48, 500, 3
SHAPES = np.array(["ball", "cone", "cube", "cylinder"])


def keys(count: int) -> list[str]:
    return [f"scene-{index:04d}" for index in range(count)]


@pytest.fixture(scope="module")
def findings() -> dict:
    """Of three layers: noise; a random projection of the objects' labels; and one of labels that are wrong at times.

    In the last, one class in four is replaced by a random one, so that 13 of 16 are right, and depth has noise of its
    own variance, so that its R² is a half.
    """
    rng = np.random.default_rng(7)
    image_of = np.repeat(np.arange(IMAGES), PER_IMAGE)
    shape, depth = rng.integers(4, size=len(image_of)), rng.normal(size=len(image_of))

    def projection(labels: np.ndarray) -> np.ndarray:
        return labels @ rng.normal(size=(labels.shape[1], WIDTH)) + rng.normal(scale=0.02, size=(len(labels), WIDTH))

    def of_objects(shape: np.ndarray, depth: np.ndarray) -> np.ndarray:
        return projection(np.column_stack([np.eye(4)[shape], depth])).astype(np.float32)

    wrong = np.where(rng.random(len(shape)) < 0.25, rng.integers(4, size=len(shape)), shape)
    exists = np.zeros((IMAGES, 4))
    exists[image_of, shape] = 1
    noise = [rng.normal(size=(rows, WIDTH)).astype(np.float32) for rows in (len(image_of), IMAGES)]
    features = Features(
        images={"vision.0": noise[1], "connector": projection(exists).astype(np.float32), "decoder.0": noise[1]},
        objects={
            "vision.0": noise[0],
            "connector": of_objects(shape, depth),
            "decoder.0": of_objects(wrong, depth + rng.normal(size=len(depth))),
        },
        keys=keys(IMAGES),
        image_of=image_of,
        labels=[{"class": SHAPES[each], "depth": float(z)} for each, z in zip(shape, depth, strict=True)],
        left_out=[],
    )
    return probe_layers(features, shuffles=2, seed=0)


def scores(findings: dict, target: str, layer: str):
    (found,) = (each for each in probed_items(findings) if (each.target, each.layer) == (target, layer))
    return found


def test_a_planted_class_is_found_in_its_layer_and_as_well_as_it_was_planted(findings):
    noise, planted, worse = (scores(findings, "class", layer) for layer in ("vision.0", "connector", "decoder.0"))
    assert len(planted.scores) == round(SHARES[2] * IMAGES) * PER_IMAGE and planted.metric == "accuracy"
    assert planted.scores.mean() == 1
    for found, accuracy in ((noise.scores, 1 / 4), (worse.scores, 13 / 16)):
        estimate = proportion(found, planted.images)
        assert estimate.low < accuracy < estimate.high
    selectivity = paired_difference(planted.scores, planted.control, planted.images)
    assert selectivity.low < 3 / 4 < selectivity.high
    for each in (noise, planted, worse):
        assert each.control.mean() == pytest.approx(1 / 4, abs=0.05)
    of_noise = paired_difference(noise.scores, noise.control, noise.images)
    assert of_noise.low < 0 < of_noise.high


def test_a_planted_number_is_found_with_its_share_of_variance(findings):
    noise, planted, half = (scores(findings, "depth", layer) for layer in ("vision.0", "connector", "decoder.0"))
    assert planted.metric == "R²" and planted.scores.mean() > 0.99
    assert half.scores.mean() == pytest.approx(1 / 2, abs=0.08)
    for found in (noise.scores, planted.control, half.control):
        assert found.mean() == pytest.approx(0, abs=0.05)


def test_what_an_image_has_is_found_where_it_was_planted(findings):
    planted, noise = (scores(findings, "existence", layer) for layer in ("connector", "vision.0"))
    assert len(planted.scores) == 4 * round(SHARES[2] * IMAGES)
    # Three objects have a class among them with a probability of 1 - (3/4)³, so saying yes is right so often.
    assert planted.scores.mean() == 1 and noise.scores.mean() == pytest.approx(1 - (3 / 4) ** 3, abs=0.06)
    assert planted.control.mean() == pytest.approx(1 - (3 / 4) ** 3, abs=0.06)
    # Every image has as many objects, which leaves nothing to count; and nothing has a colour.
    assert findings["targets"].keys() == {"class", "depth", "existence"}


@pytest.fixture(scope="module")
def pianos() -> dict:
    """Two classes and a third; the pair is told apart in the decoder and not in the vision encoder."""
    rng = np.random.default_rng(1)
    names = np.array(["grand piano", "upright piano", "organ"])[np.arange(240) % 3]
    shift = np.where(names == "grand piano", 4.0, 0.0)[:, None] * np.ones(WIDTH)
    noise, apart = (rng.normal(size=(240, WIDTH)).astype(np.float32) for _ in range(2))
    layers = {"vision.0": noise[::-1], "vision.1": noise, "decoder.0": noise, "decoder.1": apart + shift}
    images = np.arange(240)
    features = Features(layers, layers, keys(240), images, [{"class": name} for name in names], [])
    return probe_layers(features, shuffles=1, seed=0, pair=["grand piano", "upright piano"])


def test_a_pair_is_told_apart_and_embedded_where_it_was_planted(pianos):
    noise, planted = (scores(pianos, "pair", layer) for layer in ("vision.1", "decoder.1"))
    assert planted.scores.mean() == 1 and noise.scores.mean() == pytest.approx(0.5, abs=0.2)
    assert all(int(image[-4:]) % 3 < 2 for image in planted.images)
    found = pianos["pair"]
    assert list(found["layers"]) == ["vision.1", "decoder.1"] and found["classes"] == ["grand piano", "upright piano"]
    which = numbers(found["which"])
    assert len(which) == len(found["image"]) == 160 and which.mean() == 0.5

    def nearest_alike(layer: str) -> float:
        """How often the nearest object in the picture is of the same class."""
        points = np.column_stack([numbers(found["layers"][layer][axis]) for axis in "xy"])
        apart = np.linalg.norm(points[:, None] - points, axis=2) + np.diag(np.full(len(points), np.inf))
        return float((which[apart.argmin(1)] == which).mean())

    assert nearest_alike("decoder.1") > 0.97 and nearest_alike("vision.1") == pytest.approx(0.5, abs=0.15)
    points = np.random.default_rng(2).normal(size=(20, 5))
    assert (embedded(points, 0) == embedded(points, 0)).all()


def test_a_pair_that_is_not_there_is_refused():
    features = Features({}, {}, keys(40), np.arange(40), [{"class": "organ"}] * 40, [])
    with pytest.raises(SgtError, match="pair: 0 objects are 'grand piano', 0 of them in the images to train on"):
        probe_layers(features, shuffles=1, seed=0, pair=["grand piano", "organ"])


@pytest.mark.parametrize("lacking", [VALIDATION, TEST])
def test_a_target_that_a_part_of_the_split_lacks_is_left_out(lacking):
    parts = split_of(keys(40))
    names = ["ball", "cone"] * 20
    # Of every other class there are too few to learn it.
    labels = [{"class": f"thing {n}" if parts[n] == lacking else name} for n, name in enumerate(names)]
    # Depth is known everywhere but in all test images except one.
    first = np.flatnonzero(parts == TEST)[0]
    labels = [each | ({"depth": n} if parts[n] != TEST or n == first else {}) for n, each in enumerate(labels)]
    noise = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    features = Features({"decoder.0": noise}, {"decoder.0": noise}, keys(40), np.arange(40), labels, [])
    assert probe_layers(features, shuffles=1, seed=0)["targets"].keys() == {"existence"}


def test_the_image_of_an_item_is_known_among_many():
    places = np.array([9, 12_345, 118_286])
    assert numbers(line(places)).tolist() == places.tolist()
    assert line(np.array([0.123456, 1.0])) == "0.1235 1"


def test_images_are_split_by_their_keys_alone():
    parts = split_of(keys(200))
    assert [int((parts == part).sum()) for part in (TRAIN, VALIDATION, TEST)] == [100, 40, 60]
    order = np.random.default_rng(0).permutation(200)
    assert (split_of([keys(200)[index] for index in order]) == parts[order]).all()
    with pytest.raises(SgtError, match="7 images are too few to fit and test probes on; use more"):
        split_of(keys(7))
