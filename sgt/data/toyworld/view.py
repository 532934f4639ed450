"""How each thing of a scene appears in the image: pixels, location and depth."""

from dataclasses import dataclass

import numpy as np

from sgt.data.toyworld.scene import Point, Scene, Thing
from sgt.data.toyworld.vocabulary import COLUMNS, ROWS

# How far from the border between two columns (or rows) it is clear which one a thing is in: of 48 pixels.
BORDER_MARGIN = 1.5 / 48


def is_near_border(place: float) -> bool:
    """Whether it is not clear in which third of the side a place (a fraction of the side) is."""
    return min(abs(place - 1 / 3), abs(place - 2 / 3)) < BORDER_MARGIN


@dataclass(frozen=True)
class Seen:
    """A thing as it appears in the image.

    Attributes:
        thing: the thing.
        pixels: number of its visible pixels.
        u: horizontal position of its visible pixels' centroid, as a fraction of the side (0 left, 1 right).
        v: vertical position, likewise (0 top, 1 bottom).
        depth: of its centre, along the optical axis, scene units.
    """

    thing: Thing
    pixels: int
    u: float
    v: float
    depth: float

    @property
    def name(self) -> str:
        """``colour shape``, unique in the scene."""
        return self.thing.name

    @property
    def centre(self) -> Point:
        """Its centre in the world."""
        return self.thing.centre

    @property
    def column(self) -> str:
        """The third of the image its centroid is in, from left to right."""
        return COLUMNS[int(3 * self.u)]

    @property
    def row(self) -> str:
        """The third of the image its centroid is in, from top to bottom."""
        return ROWS[int(3 * self.v)]


def observe(scene: Scene, labels: np.ndarray) -> tuple[Seen, ...]:
    """Every thing as it appears in the image, in the scene's order.

    Args:
        scene: the scene.
        labels: its label map, integer (side, side).
    """
    side = labels.shape[0]
    flat = labels.ravel()
    centres = (np.arange(side) + 0.5) / side
    bins = len(scene.things) + 1
    pixels = np.bincount(flat, minlength=bins)
    u = np.bincount(flat, weights=np.tile(centres, side), minlength=bins)
    v = np.bincount(flat, weights=np.repeat(centres, side), minlength=bins)
    return tuple(
        Seen(thing, int(pixels[k]), float(u[k] / pixels[k]), float(v[k] / pixels[k]), scene.camera.depth(thing.centre))
        for k, thing in enumerate(scene.things, start=1)
    )
