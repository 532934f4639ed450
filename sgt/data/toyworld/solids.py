"""The four solids, in closed form: ray intersection, normals, and enclosing points.

Each solid stands on the plane z = 0 in its own frame, in which its nominal radius is 1. Vectors are triples of floats
or of arrays that broadcast. Rays start outside, and the solids are convex, so the entry point is the hit.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Component = np.ndarray | np.floating | float
Vector = tuple[Component, Component, Component]
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]

_CUBE_HALF = 0.78
_CYLINDER_RADIUS, _CYLINDER_HEIGHT = 0.9, 1.7
_CONE_RADIUS, _CONE_HEIGHT = 1.05, 2.0
_CONE_SLOPE = _CONE_RADIUS / _CONE_HEIGHT


@dataclass(frozen=True)
class Solid:
    """One shape in its unit frame.

    Attributes:
        height: top of the solid; its bottom is at 0.
        footprint: radius of the circle that encloses it as seen from above.
        enter: (origin, direction) → the ray parameter at which the ray enters, NaN where it misses.
        normal: surface point → outward normal, not normalised.
        hull: float64 (n, 3), points whose convex hull contains the solid.
    """

    height: float
    footprint: float
    enter: Callable[[Vector, Vector], np.ndarray]
    normal: Callable[[Vector], Vector]
    hull: np.ndarray


def _entry(near: np.ndarray, far: np.ndarray) -> np.ndarray:
    return np.where(near <= far, near, np.nan)


def _slab(origin: Component, direction: Component, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    first, second = (low - origin) / direction, (high - origin) / direction
    return np.minimum(first, second), np.maximum(first, second)


def _enter_ball(origin: Vector, direction: Vector) -> np.ndarray:
    (x, y, z), (dx, dy, dz) = origin, direction
    z = z - 1.0
    norm = dx * dx + dy * dy + dz * dz
    closest = -(x * dx + y * dy + z * dz) / norm
    # The distance of the closest point, not b² - ac, which cancels in float32.
    px, py, pz = x + closest * dx, y + closest * dy, z + closest * dz
    return np.asarray(closest - np.sqrt((1.0 - px * px - py * py - pz * pz) / norm))


def _normal_ball(point: Vector) -> Vector:
    x, y, z = point
    return x, y, z - 1.0


def _enter_cube(origin: Vector, direction: Vector) -> np.ndarray:
    near_x, far_x = _slab(origin[0], direction[0], -_CUBE_HALF, _CUBE_HALF)
    near_y, far_y = _slab(origin[1], direction[1], -_CUBE_HALF, _CUBE_HALF)
    near_z, far_z = _slab(origin[2], direction[2], 0.0, 2 * _CUBE_HALF)
    return _entry(np.maximum(np.maximum(near_x, near_y), near_z), np.minimum(np.minimum(far_x, far_y), far_z))


def _normal_cube(point: Vector) -> Vector:
    x, y, z = point[0], point[1], point[2] - _CUBE_HALF
    ax, ay, az = np.abs(x), np.abs(y), np.abs(z)
    on_x, on_y = (ax >= ay) & (ax >= az), (ay > ax) & (ay >= az)
    return np.where(on_x, x, 0), np.where(on_y, y, 0), np.where(on_x | on_y, 0, z)


def _enter_cylinder(origin: Vector, direction: Vector) -> np.ndarray:
    (x, y, z), (dx, dy, dz) = origin, direction
    norm = dx * dx + dy * dy
    closest = -(x * dx + y * dy) / norm
    px, py = x + closest * dx, y + closest * dy
    half = np.sqrt((_CYLINDER_RADIUS**2 - px * px - py * py) / norm)
    near, far = _slab(z, dz, 0.0, _CYLINDER_HEIGHT)
    return _entry(np.maximum(near, closest - half), np.minimum(far, closest + half))


def _normal_cylinder(point: Vector) -> Vector:
    x, y, z = point
    radius = np.sqrt(x * x + y * y)
    on_cap = z / _CYLINDER_HEIGHT >= radius / _CYLINDER_RADIUS
    return np.where(on_cap, 0, x), np.where(on_cap, 0, y), np.where(on_cap, radius + 1, 0)


def _enter_cone(origin: Vector, direction: Vector) -> np.ndarray:
    (x, y, z), (dx, dy, dz) = origin, direction
    below = _CONE_HEIGHT - z
    square = _CONE_SLOPE**2
    a = dx * dx + dy * dy - square * dz * dz
    b = x * dx + y * dy + square * below * dz
    c = x * x + y * y - square * below * below
    root = np.sqrt(b * b - a * c)
    near, far = _slab(z, dz, 0.0, _CONE_HEIGHT)
    side_near, side_far = -(b + root) / a, (root - b) / a
    # A ray steeper than the side (a < 0) meets it once on its way: downwards where it enters, upwards where it leaves.
    side_near = np.where((a < 0) & (dz > 0), -np.inf, side_near)
    side_far = np.where((a < 0) & (dz < 0), np.inf, side_far)
    return _entry(np.maximum(near, side_near), np.minimum(far, side_far))


def _normal_cone(point: Vector) -> Vector:
    x, y, _ = point
    return x, y, _CONE_SLOPE * np.sqrt(x * x + y * y)


def _ring(radius: float, height: float, count: int = 12) -> list[tuple[float, float, float]]:
    # Widened so that the polygon contains the circle.
    radius = radius / math.cos(math.pi / count)
    angles = [2 * math.pi * step / count for step in range(count)]
    return [(radius * math.cos(angle), radius * math.sin(angle), height) for angle in angles]


def _ball_hull() -> np.ndarray:
    latitudes = [math.pi * step / 6 for step in range(1, 6)]
    grow = 1 / math.cos(math.pi / 12)
    rings = [point for angle in latitudes for point in _ring(grow * math.sin(angle), 1 + grow * math.cos(angle))]
    return np.array([*rings, (0, 0, 1 - grow), (0, 0, 1 + grow)])


_CORNERS = [
    (x, y, z) for x in (-_CUBE_HALF, _CUBE_HALF) for y in (-_CUBE_HALF, _CUBE_HALF) for z in (0, 2 * _CUBE_HALF)
]

SOLIDS: dict[str, Solid] = {
    "ball": Solid(2.0, 1.0, _enter_ball, _normal_ball, _ball_hull()),
    "cube": Solid(2 * _CUBE_HALF, math.sqrt(2) * _CUBE_HALF, _enter_cube, _normal_cube, np.array(_CORNERS)),
    "cylinder": Solid(
        _CYLINDER_HEIGHT,
        _CYLINDER_RADIUS,
        _enter_cylinder,
        _normal_cylinder,
        np.array([*_ring(_CYLINDER_RADIUS, 0), *_ring(_CYLINDER_RADIUS, _CYLINDER_HEIGHT)]),
    ),
    "cone": Solid(
        _CONE_HEIGHT, _CONE_RADIUS, _enter_cone, _normal_cone, np.array([*_ring(_CONE_RADIUS, 0), (0, 0, _CONE_HEIGHT)])
    ),
}
