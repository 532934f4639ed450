"""Reads toyworld things off an image: colour by hue, place by centroid, shape by a small fitted classifier.

Size and depth are not read: a large thing far away looks like a small one nearby.

It is classical on purpose: it has no weights that someone would have to trust, it is fitted on rendered validation
scenes in seconds, and :meth:`SceneReader.self_check` tests it on others before any image is scored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from sgt.data.toyworld.raytrace import COLOUR_RGB, render_scene
from sgt.data.toyworld.sampling import sample_scene
from sgt.data.toyworld.view import Seen, is_near_border, observe
from sgt.data.toyworld.vocabulary import COLUMNS, ROWS, SHAPES
from sgt.errors import SgtError

SPLIT = "validation"
FITTED_SCENES, CHECKED_SCENES = 600, 200
# A pixel shows a thing if it is this colourful: the ground is muted, the things are not.
MIN_CHROMA, MIN_SATURATION = 0.15, 0.38
# Smaller blobs are speckle. Things show at least 45 of 48 × 48 pixels; generated ones may be smaller.
MIN_SHARE = 20 / 48**2
CROP = 14
# Of the classifier: kernel ridge regression with a Gaussian kernel.
KERNEL_WIDTH, RIDGE = 0.2, 0.03
# Where a thing is and how large it looks count as much as so many pixels of its crop: things look different from above.
OF_WHOLE = 8
# Shares of things in rendered scenes that must be read right before the reader may score anything. Things of one
# colour that touch are read as one, so some are not found.
REQUIRED = {"found": 0.9, "place": 0.95, "shape": 0.9}
MAX_EXTRA = 0.05


@dataclass(frozen=True)
class Reading:
    """One thing read off an image; ``u`` and ``v`` are its centroid as fractions of the side."""

    colour: str
    shape: str
    u: float
    v: float

    @property
    def column(self) -> str:
        """``left``, ``middle`` or ``right``, as in captions."""
        return COLUMNS[min(int(3 * self.u), 2)]

    @property
    def row(self) -> str:
        """``top``, ``middle`` or ``bottom``."""
        return ROWS[min(int(3 * self.v), 2)]


@dataclass(frozen=True)
class SelfCheck:
    """How the reader did on rendered scenes that it was not fitted on.

    Attributes:
        scenes, things: how many were there.
        found: share of things for which a blob of their colour was read at their place (within a sixth of the side).
        place: share of things found whose column and row were read right, of those that are not near a border between
            two columns or rows, where half a pixel decides.
        shape: share of things found whose shape was read right.
        extra: things read that are not there, as a share of things that are.
    """

    scenes: int
    things: int
    found: float
    place: float
    shape: float
    extra: float


class SceneReader:
    """The reader, fitted on rendered scenes of one size.

    Args:
        size: side of the images it will read, pixels.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        features, shapes = [], []
        for index in range(FITTED_SCENES):
            image, view = _scene(index, size)
            for colour, mask in _blobs(image):
                seen = _nearest(view, colour, *_centroid(mask))
                if seen is not None:
                    features.append(_features(image, mask))
                    shapes.append(SHAPES.index(seen.thing.shape))
        x = np.stack(features)
        self._mean, self._scale = x.mean(axis=0), x.std(axis=0) + 1e-3
        self._known = (x - self._mean) / self._scale
        similar = _similarity(self._known, self._known)
        self._weights = np.linalg.solve(similar + RIDGE * np.eye(len(x)), np.eye(len(SHAPES))[shapes])

    def read(self, image: Image.Image) -> list[Reading]:
        """Every thing in an RGB image of any size."""
        pixels = np.asarray(image.convert("RGB").resize((self.size, self.size), Image.Resampling.BILINEAR))
        return self._read(pixels)

    def _read(self, pixels: np.ndarray) -> list[Reading]:
        blobs = _blobs(pixels)
        if not blobs:
            return []
        x = np.stack([_features(pixels, mask) for _, mask in blobs])
        scores = _similarity((x - self._mean) / self._scale, self._known) @ self._weights
        return [
            Reading(colour, SHAPES[best], *_centroid(mask))
            for (colour, mask), best in zip(blobs, scores.argmax(axis=1), strict=True)
        ]

    def self_check(self) -> SelfCheck:
        """Read rendered scenes that were not fitted on.

        Raises:
            SgtError: it reads less well than it must.
        """
        things = found = clear = placed = shaped = extra = 0
        for index in range(FITTED_SCENES, FITTED_SCENES + CHECKED_SCENES):
            image, view = _scene(index, self.size)
            readings = self._read(image)
            things += len(view)
            pairs = match(readings, view)
            extra += len(readings) - len(pairs)
            for reading, seen in pairs:
                found += 1
                if not (is_near_border(seen.u) or is_near_border(seen.v)):
                    clear += 1
                    placed += (reading.column, reading.row) == (seen.column, seen.row)
                shaped += reading.shape == seen.thing.shape
        check = SelfCheck(CHECKED_SCENES, things, found / things, placed / clear, shaped / found, extra / things)
        for name, required in REQUIRED.items():
            if getattr(check, name) < required:
                raise _failed_check(
                    f"reads {name} right for {getattr(check, name):.3f} of the things, needs {required}"
                )
        if check.extra > MAX_EXTRA:
            raise _failed_check(f"reads {check.extra:.3f} things too many per thing, at most {MAX_EXTRA} are allowed")
        return check


@cache
def checked_reader(size: int) -> tuple[SceneReader, SelfCheck]:
    """The reader of images with this side, and how it did. Both are made once in a process: that takes seconds.

    Raises:
        SgtError: it reads less well than it must.
    """
    reader = SceneReader(size)
    return reader, reader.self_check()


def match(readings: Sequence[Reading], view: Sequence[Seen]) -> list[tuple[Reading, Seen]]:
    """Pairs of reading and thing: same colour, nearest first, at most a sixth of the side apart, each used once."""
    candidates = sorted(
        (np.hypot(reading.u - seen.u, reading.v - seen.v), i, j)
        for i, reading in enumerate(readings)
        for j, seen in enumerate(view)
        if reading.colour == seen.thing.colour
    )
    pairs, used_readings, used_things = [], set(), set()
    for distance, i, j in candidates:
        if distance <= 1 / 6 and i not in used_readings and j not in used_things:
            pairs.append((readings[i], view[j]))
            used_readings.add(i)
            used_things.add(j)
    return pairs


def _scene(index: int, size: int) -> tuple[np.ndarray, tuple[Seen, ...]]:
    scene = sample_scene(0, SPLIT, index, size)
    image, labels, _ = render_scene(scene, size)
    return image, observe(scene, labels)


def _blobs(pixels: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Colour and mask (H, W) of every connected, colourful region of one hue."""
    from scipy import ndimage  # imported where it is used: every start of Snakemake loads this module

    channels = pixels.astype(np.float64) / 255
    chroma = channels.max(axis=2) - channels.min(axis=2)
    vivid = (chroma > MIN_CHROMA) & (chroma > MIN_SATURATION * channels.max(axis=2))
    hues = np.array([_hue(np.array(rgb)) for rgb in COLOUR_RGB.values()])
    apart = np.abs((_hue(channels)[..., None] - hues + 180) % 360 - 180)
    nearest = np.where(vivid, apart.argmin(axis=2), -1)
    found = []
    for number, colour in enumerate(COLOUR_RGB):
        labels, count = ndimage.label(nearest == number, structure=np.ones((3, 3)))
        sizes = np.bincount(labels.ravel(), minlength=count + 1)
        found += [(colour, labels == label) for label in range(1, count + 1) if sizes[label] >= MIN_SHARE * labels.size]
    return found


def _hue(rgb: np.ndarray) -> np.ndarray:
    """Degrees in [0, 360) of RGB (…, 3)."""
    red, green, blue = np.moveaxis(rgb, -1, 0)
    return np.degrees(np.arctan2(np.sqrt(3) * (green - blue), 2 * red - green - blue)) % 360


def _centroid(mask: np.ndarray) -> tuple[float, float]:
    rows, columns = np.nonzero(mask)
    return (columns.mean() + 0.5) / mask.shape[1], (rows.mean() + 0.5) / mask.shape[0]


def _nearest(view: Sequence[Seen], colour: str, u: float, v: float) -> Seen | None:
    pairs = match([Reading(colour, SHAPES[0], u, v)], view)
    return pairs[0][1] if pairs else None


def _features(pixels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Outline, shading and highlight of a blob in a square about it, and its place and area, float64 (k,)."""
    from scipy import ndimage  # as above

    rows, columns = np.nonzero(mask)
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    side = max(height, width) + 2
    top, left = rows.min() - (side - height) / 2, columns.min() - (side - width) / 2
    box = (left, top, left + side, top + side)
    high, low = (level.astype(np.float64) for level in (pixels.max(axis=2), pixels.min(axis=2)))
    # Pixels that a thing covers in part are less colourful: that tells its outline more finely than the mask.
    colourful = (high - low) / np.median((high - low)[mask])
    outline = np.clip(colourful, 0, 1.5) * ndimage.binary_dilation(mask, np.ones((3, 3)))
    dark, bright = np.percentile(high[mask], [2, 98])
    shading = np.clip((high - dark) / max(bright - dark, 1.0), 0, 1) * mask
    highlight = (low - np.median(low[mask])) / 255 * mask
    crops = [
        np.asarray(
            Image.fromarray(np.float32(plane)).transform(
                (CROP, CROP), Image.Transform.EXTENT, box, Image.Resampling.BILINEAR
            )
        ).ravel()
        for plane in (outline, shading, highlight)
    ]
    whole = [*_centroid(mask), np.log(mask.mean())]
    return np.concatenate([*crops, np.repeat(whole, OF_WHOLE)])


def _similarity(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Gaussian kernel of two lists of standardised features, (n, k) and (m, k): (n, m)."""
    apart = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1) - 2 * one @ other.T
    return np.exp(-KERNEL_WIDTH * apart / one.shape[1])


def _failed_check(problem: str) -> SgtError:
    return SgtError("scene reader", problem, "correct it: no image is scored by a reader that fails its check")
