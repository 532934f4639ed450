"""Drawing a scene: a pure function of (seed, split, index, size).

Things float, at depths drawn independently of where they are in the image: neither the row of a thing nor its size in
the image alone tells how far away it is.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sgt.data.toyworld.ground import TEXTURES
from sgt.data.toyworld.raytrace import Hits, trace
from sgt.data.toyworld.scene import Camera, Ground, Point, Scene, Thing
from sgt.data.toyworld.solids import Arrays
from sgt.data.toyworld.vocabulary import COLOURS, SHAPES
from sgt.errors import SgtError

# Part of every scene's seed: changing one changes the data.
SPLITS = {"pretrain": 0, "proxy": 1, "vqa": 2, "validation": 3, "test": 4}
REFERENCE_SIZE = 48
MIN_VISIBLE_PIXELS = 45
MIN_VISIBLE_FRACTION = 0.4
_EDGE = 0.5 / REFERENCE_SIZE
_GAP = 0.12
_PLACES = 24
# Of a thing's centre along the optical axis, scene units: the nearest small thing is smaller in the image than the
# farthest large one.
_DEPTHS = 10.0, 13.5
# A crowded scene takes about ten attempts at placing its things, and one in a million more than a hundred.
_ATTEMPTS = 10_000
# By number of things, how many may be large; more would not fit.
_MOST_LARGE = {2: 2, 3: 3, 4: 3, 5: 3}


def scene_rng(seed: int, split: str, index: int, stream: int) -> random.Random:
    """An independent random generator for one purpose (``stream``) of one scene."""
    words = np.random.SeedSequence([seed, SPLITS[split], index, stream]).generate_state(4)
    return random.Random(int.from_bytes(words.astype("<u4").tobytes(), "little"))


def sample_scene(seed: int, split: str, index: int, size: int = REFERENCE_SIZE) -> Scene:
    """The scene with this index.

    Every thing is completely in frame, with at least 40 % of it visible and, at an image side of 48 pixels, at least 45
    pixels; (colour, shape) pairs are unique.

    Args:
        seed: of the dataset.
        split: a key of ``SPLITS``; scenes of different splits never share a seed.
        index: of the scene within its split.
        size: image side at which things must be visible, pixels.

    Raises:
        SgtError: no place is found for its things at this size.
    """
    return sample_visible(seed, split, index, size)[0]


def sample_visible(seed: int, split: str, index: int, size: int) -> tuple[Scene, Hits]:
    """As :func:`sample_scene`, with the labels and depth that its visibility was checked on; raises its error."""
    rng = scene_rng(seed, split, index, stream=0)
    camera, light, ground = _camera(rng), _light(rng), _ground(rng)
    # Only locations are drawn again: drawing looks again would make crowded scenes and large things rarer.
    looks = _looks(rng, count=rng.randint(2, 5))
    for _ in range(_ATTEMPTS):
        things = _place_all(rng, camera, looks)
        if things is None:
            continue
        scene = Scene(camera, light, ground, things)
        hits = trace(scene, size)
        if is_visible(hits, size):
            return scene, hits
    where = f"toyworld: scene {index} of split {split} with seed {seed}"
    raise SgtError(where, f"no place found for its {len(looks)} things at size {size}", "use a larger size")


def _camera(rng: random.Random) -> Camera:
    pitch = math.radians(rng.uniform(40, 48))
    return Camera(rng.uniform(-0.4, 0.4), rng.uniform(14.6, 15.4), pitch, rng.uniform(2.55, 2.65))


def _light(rng: random.Random) -> Point:
    # The light comes from the camera's side: things lit from behind would show no colour.
    azimuth, elevation = rng.uniform(-1.9, 1.9), math.radians(rng.uniform(42, 68))
    flat = math.cos(elevation)
    return flat * math.sin(azimuth), -flat * math.cos(azimuth), math.sin(elevation)


def _ground(rng: random.Random) -> Ground:
    grey = rng.uniform(0.45, 0.8)
    first = _tinted(rng, (grey, grey, grey), 0.06)
    contrast = rng.uniform(0.08, 0.2) * rng.choice((-1, 1))
    red, green, blue = first
    second = _tinted(rng, (red + contrast, green + contrast, blue + contrast), 0.03)
    kind = rng.choice(tuple(TEXTURES))
    return Ground(kind, (first, second), rng.uniform(0.5, 1.4), rng.uniform(0, math.pi), rng.getrandbits(32))


def _tinted(rng: random.Random, colour: Point, most: float) -> Point:
    """A colour each of whose channels is changed at random by at most ``most``."""
    red, green, blue = (level + rng.uniform(-most, most) for level in colour)
    return red, green, blue


def _looks(rng: random.Random, count: int) -> list[tuple[str, str, str]]:
    pairs = rng.sample([(shape, colour) for shape in SHAPES for colour in COLOURS], count)
    large = rng.randint(0, _MOST_LARGE[count])
    sizes = ["large"] * large + ["small"] * (count - large)
    # The largest are placed first, because later there would be no room for them.
    return [(shape, colour, size) for (shape, colour), size in zip(pairs, sizes, strict=True)]


def _place_all(rng: random.Random, camera: Camera, looks: list[tuple[str, str, str]]) -> tuple[Thing, ...] | None:
    """Place the things one after another; None if one does not fit."""
    things: list[Thing] = []
    for shape, colour, size in looks:
        yaw = rng.uniform(0, math.pi / 2)
        thing = place(rng, camera, Thing(shape, colour, size, 0.0, 0.0, 0.0, yaw), things)
        if thing is None:
            return None
        things.append(thing)
    return tuple(things)


def place(rng: random.Random, camera: Camera, thing: Thing, others: Sequence[Thing]) -> Thing | None:
    """The thing at a random location in frame, above the ground and apart from others; None if none is found."""
    x, y, z = _spots(rng, camera, thing)
    fits = _in_frame(camera, thing, x, y, z) & (z >= 0)
    for other in others:
        reach = thing.footprint + other.footprint + _GAP
        beside = (x - other.x) ** 2 + (y - other.y) ** 2 > reach * reach
        fits &= beside | (z > other.z + other.height + _GAP) | (z + thing.height + _GAP < other.z)
    first = int(fits.argmax())
    return replace(thing, x=float(x[first]), y=float(y[first]), z=float(z[first])) if fits[first] else None


def _spots(rng: random.Random, camera: Camera, thing: Thing) -> Arrays:
    """Candidate locations (x, y, z) of a thing, uniform in depth and over the part of the image where it may fit."""
    u, v, depth = np.array([rng.random() for _ in range(3 * _PLACES)]).reshape(3, _PLACES)
    depth = _DEPTHS[0] + (_DEPTHS[1] - _DEPTHS[0]) * depth
    margin = thing.radius * camera.focal / depth
    direction = camera.direction(margin + (1 - 2 * margin) * u, margin + (1 - 2 * margin) * v)
    x, y, z = (eye + depth * step for eye, step in zip(camera.position, direction, strict=True))
    return x, y, z - thing.height / 2


def _in_frame(camera: Camera, thing: Thing, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Which of the locations (x, y, z) put a thing completely into the image."""
    hull_x, hull_y, hull_z = thing.hull
    u, v, _ = camera.project((hull_x + x[:, None], hull_y + y[:, None], hull_z + z[:, None]))
    seen = (np.minimum(u, v) >= _EDGE) & (np.maximum(u, v) <= 1 - _EDGE)
    return np.all(seen, axis=1)


def is_visible(hits: Hits, size: int) -> bool:
    """Whether enough of every thing is seen at an image side of ``size`` pixels."""
    pixels = np.bincount(hits.labels.ravel(), minlength=len(hits.extents) + 1)[1:]
    least = MIN_VISIBLE_PIXELS * (size / REFERENCE_SIZE) ** 2
    return all(
        seen >= max(least, MIN_VISIBLE_FRACTION * extent) for seen, extent in zip(pixels, hits.extents, strict=True)
    )
