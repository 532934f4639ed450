"""The scene: a camera above a textured ground, a distant light, and a few solids that float above the ground.

World frame: x to the right, y away from the camera, z up; the ground is z = 0. Lengths are in scene units.
Image coordinates are fractions of the side: (0, 0) is the upper left corner, (1, 1) the lower right.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sgt.data.toyworld.solids import SOLIDS, Arrays, Solid

Point = tuple[float, float, float]

RADII = {"small": 0.6, "large": 0.92}


@dataclass(frozen=True)
class Thing:
    """One solid whose bottom is ``z`` above the ground at (x, y), turned by ``yaw`` radians about the vertical."""

    shape: str
    colour: str
    size: str
    x: float
    y: float
    z: float
    yaw: float

    @property
    def name(self) -> str:
        """Its name in texts, which is unique within a scene."""
        return f"{self.colour} {self.shape}"

    @property
    def solid(self) -> Solid:
        """Its shape in the unit frame."""
        return SOLIDS[self.shape]

    @property
    def radius(self) -> float:
        """Length of one unit of the solid's own frame."""
        return RADII[self.size]

    @property
    def centre(self) -> Point:
        """The middle of its vertical axis."""
        return self.x, self.y, self.z + self.height / 2

    @property
    def height(self) -> float:
        """From its bottom to its top."""
        return self.radius * self.solid.height

    @property
    def footprint(self) -> float:
        """Radius of the circle that encloses it as seen from above."""
        return self.radius * self.solid.footprint

    @cached_property
    def hull(self) -> Arrays:
        """Points in world coordinates whose convex hull contains it, float64 (n,) each."""
        x, y, z = self.radius * self.solid.hull.T
        cos, sin = math.cos(self.yaw), math.sin(self.yaw)
        return self.x + cos * x - sin * y, self.y + sin * x + cos * y, self.z + z


@dataclass(frozen=True)
class Camera:
    """A pinhole camera that looks along +y and down, at the ground point (x, 0).

    Attributes:
        x: sideways offset.
        distance: from the point it looks at.
        pitch: how far it looks down from the horizontal, radians.
        focal: focal length, in image sides.
    """

    x: float
    distance: float
    pitch: float
    focal: float

    @cached_property
    def position(self) -> Point:
        """Of the pinhole, in the world."""
        return self.x, -self.distance * self.forward[1], -self.distance * self.forward[2]

    @cached_property
    def up(self) -> Point:
        """Unit vector of the image's upward direction."""
        return 0.0, math.sin(self.pitch), math.cos(self.pitch)

    @cached_property
    def forward(self) -> Point:
        """Unit vector of the optical axis."""
        return 0.0, math.cos(self.pitch), -math.sin(self.pitch)

    def project(self, points: Arrays) -> Arrays:
        """Image coordinates (u, v) and depth along the optical axis of points in front of the camera."""
        x, y, z = (coordinate - eye for coordinate, eye in zip(points, self.position, strict=True))
        depth = y * self.forward[1] + z * self.forward[2]
        return 0.5 + self.focal * x / depth, 0.5 - self.focal * (y * self.up[1] + z * self.up[2]) / depth, depth

    def depth(self, point: Point) -> float:
        """Depth of one point along the optical axis."""
        return (point[1] - self.position[1]) * self.forward[1] + (point[2] - self.position[2]) * self.forward[2]

    def direction(self, u: np.ndarray, v: np.ndarray) -> Arrays:
        """The ray through image coordinates (u, v), scaled so that its parameter is depth along the optical axis."""
        right, rise = (u - 0.5) / self.focal, (0.5 - v) / self.focal
        return right, self.forward[1] + rise * self.up[1], self.forward[2] + rise * self.up[2]


@dataclass(frozen=True)
class Ground:
    """The ground's texture.

    Attributes:
        kind: ``checker``, ``stripes`` or ``noise``.
        colours: the two RGB colours, in [0, 1], that alternate.
        period: length of one cell.
        angle: rotation, radians.
        seed: of the noise.
    """

    kind: str
    colours: tuple[Point, Point]
    period: float
    angle: float
    seed: int


@dataclass(frozen=True)
class Scene:
    """A scene; ``light`` is the unit vector towards the light."""

    camera: Camera
    light: Point
    ground: Ground
    things: tuple[Thing, ...]
