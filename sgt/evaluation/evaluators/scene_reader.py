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

from sgt.data.toyworld.raytrace import COLOUR_RGB, render_colour
from sgt.data.toyworld.sampling import sample_visible
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


@dataclass(frozen=True)
class Blob:
    """A connected region of one hue: its centroid as fractions of the side, and its features, float64 (k,)."""

    colour: str
    u: float
    v: float
    features: np.ndarray


class SceneReader:
    """The reader, fitted on rendered scenes of one size.

    Args:
        size: side of the images it will read, pixels.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        features, shapes = [], []
        for index in range(FITTED_SCENES):
            pixels, view = _scene(index, size)
            for blob in _blobs(pixels):
                seen = _nearest(view, blob)
                if seen is not None:
                    features.append(blob.features)
                    shapes.append(SHAPES.index(seen.thing.shape))
        x = np.stack(features)
        self._mean, self._scale = x.mean(axis=0), x.std(axis=0) + 1e-3
        self._known = (x - self._mean) / self._scale
        self._known_squares = (self._known**2).sum(axis=1)
        similar = self._similarity(self._known)
        self._weights = np.linalg.solve(similar + RIDGE * np.eye(len(x)), np.eye(len(SHAPES))[shapes])

    def read(self, image: Image.Image) -> list[Reading]:
        """Every thing in an RGB image of any size."""
        pixels = np.asarray(image.convert("RGB").resize((self.size, self.size), Image.Resampling.BILINEAR))
        return self._readings([_blobs(pixels)])[0]

    def _readings(self, blobs: Sequence[Sequence[Blob]]) -> list[list[Reading]]:
        """What the blobs of each of several images are."""
        features = [blob.features for of_image in blobs for blob in of_image]
        if not features:
            return [[] for _ in blobs]
        scores = self._similarity((np.stack(features) - self._mean) / self._scale) @ self._weights
        shapes = iter(scores.argmax(axis=1))
        return [[Reading(blob.colour, SHAPES[next(shapes)], blob.u, blob.v) for blob in of_image] for of_image in blobs]

    def _similarity(self, x: np.ndarray) -> np.ndarray:
        """Gaussian kernel of standardised features (n, k) and the m that the reader was fitted on: (n, m)."""
        apart = (x**2).sum(axis=1)[:, None] + self._known_squares - 2 * x @ self._known.T
        return np.exp(-KERNEL_WIDTH * apart / x.shape[1])

    def self_check(self) -> SelfCheck:
        """Read rendered scenes that were not fitted on.

        Raises:
            SgtError: it reads less well than it must.
        """
        things = found = clear = placed = shaped = extra = 0
        scenes = (_scene(index, self.size) for index in range(FITTED_SCENES, FITTED_SCENES + CHECKED_SCENES))
        blobs, views = zip(*((_blobs(pixels), view) for pixels, view in scenes), strict=True)
        for readings, view in zip(self._readings(blobs), views, strict=True):
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
    scene, hits = sample_visible(0, SPLIT, index, size)
    return render_colour(scene, size), observe(scene, hits.labels)


def _blobs(pixels: np.ndarray) -> list[Blob]:
    """Every connected, colourful region of one hue in an image, uint8 (H, W, 3)."""
    from scipy import ndimage  # imported where it is used: every start of Snakemake loads this module

    # By planes: NumPy is slow at reducing an axis of three.
    red, green, blue = np.moveaxis(pixels.astype(np.float64), -1, 0)
    high, low = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    chroma = high / 255 - low / 255
    vivid = np.nonzero((chroma > MIN_CHROMA) & (chroma > MIN_SATURATION * (high / 255)))
    hues = np.array([_hue(np.array(rgb)) for rgb in COLOUR_RGB.values()])
    apart = np.abs((_hue(pixels[vivid] / 255)[:, None] - hues + 180) % 360 - 180)
    nearest = np.full(high.shape, -1)
    nearest[vivid] = apart.argmin(axis=1)
    found, least = [], MIN_SHARE * nearest.size
    pixels_of = np.bincount(nearest[vivid], minlength=len(hues))
    for number, colour in enumerate(COLOUR_RGB):
        if pixels_of[number] < least:
            continue
        labels, count = ndimage.label(nearest == number, structure=np.ones((3, 3)))
        sizes = np.bincount(labels.ravel(), minlength=count + 1)
        masks = [labels == label for label in range(1, count + 1) if sizes[label] >= least]
        found += [_blob(colour, mask, high, low) for mask in masks]
    return found


def _hue(rgb: np.ndarray) -> np.ndarray:
    """Degrees in [0, 360) of RGB (…, 3)."""
    red, green, blue = np.moveaxis(rgb, -1, 0)
    return np.degrees(np.arctan2(np.sqrt(3) * (green - blue), 2 * red - green - blue)) % 360


def _nearest(view: Sequence[Seen], blob: Blob) -> Seen | None:
    pairs = match([Reading(blob.colour, SHAPES[0], blob.u, blob.v)], view)
    return pairs[0][1] if pairs else None


def _blob(colour: str, mask: np.ndarray, high: np.ndarray, low: np.ndarray) -> Blob:
    """A region with its features: outline, shading and highlight in a square about it, and its place and area.

    Args:
        colour: of the region.
        mask: of its pixels, bool (H, W).
        high, low: of each pixel, its brightest and darkest channel, 0 to 255, float64 (H, W).
    """
    from scipy import ndimage  # as above

    rows, columns = np.nonzero(mask)
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    side = max(height, width) + 2
    top, left = rows.min() - (side - height) / 2, columns.min() - (side - width) / 2
    box = (left, top, left + side, top + side)
    high_here, low_here = high[mask], low[mask]
    # Pixels that a thing covers in part are less colourful: that tells its outline more finely than the mask.
    colourful = (high - low) / np.median(high_here - low_here)
    outline = np.clip(colourful, 0, 1.5) * ndimage.binary_dilation(mask, np.ones((3, 3)))
    dark, bright = np.percentile(high_here, [2, 98])
    shading = np.clip((high - dark) / max(bright - dark, 1.0), 0, 1) * mask
    highlight = (low - np.median(low_here)) / 255 * mask
    crops = [
        np.asarray(
            Image.fromarray(np.float32(plane)).transform(
                (CROP, CROP), Image.Transform.EXTENT, box, Image.Resampling.BILINEAR
            )
        ).ravel()
        for plane in (outline, shading, highlight)
    ]
    u, v = (columns.mean() + 0.5) / mask.shape[1], (rows.mean() + 0.5) / mask.shape[0]
    whole = [u, v, np.log(mask.mean())]
    return Blob(colour, u, v, np.concatenate([*crops, np.repeat(whole, OF_WHOLE)]))


def _failed_check(problem: str) -> SgtError:
    return SgtError("scene reader", problem, "correct it: no image is scored by a reader that fails its check")
