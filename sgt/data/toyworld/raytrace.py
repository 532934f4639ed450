"""Ray tracing of a scene in NumPy: exact labels and depth, and a shaded image.

Rays are computed with +, -, ×, ÷, square roots and comparisons only, so that pixels do not depend on a library of
vector mathematics.
"""

import math
from dataclasses import dataclass

import numpy as np

from sgt.data.toyworld.ground import ground_colour
from sgt.data.toyworld.scene import Camera, Scene, Thing
from sgt.data.toyworld.solids import Arrays, Component, Vector

COLOUR_RGB = {
    "red": (0.86, 0.15, 0.13),
    "green": (0.16, 0.66, 0.20),
    "blue": (0.13, 0.27, 0.88),
    "yellow": (0.94, 0.83, 0.14),
    "purple": (0.58, 0.16, 0.72),
    "cyan": (0.14, 0.80, 0.84),
}
_AMBIENT, _DIFFUSE, _SPECULAR = 0.42, 0.62, 0.35


@dataclass(frozen=True)
class Hits:
    """The first hits of a grid of rays, one through the centre of each cell.

    Attributes:
        labels: uint8 (side, side); 0 is the ground, k is the k-th thing, from 1.
        depth: (side, side), along the optical axis, scene units.
        extents: per thing, the number of rays that would hit it without the other things.
    """

    labels: np.ndarray
    depth: np.ndarray
    extents: tuple[int, ...]


def render_scene(scene: Scene, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image, labels and depth of a scene.

    Args:
        scene: the scene.
        size: image side, pixels.

    Returns:
        Colour uint8 (size, size, 3), four samples per pixel; labels uint8 (size, size), 0 the ground and k the k-th
        thing, from 1; depth float32 (size, size), along the optical axis in scene units. Labels and depth are those of
        the ray through the pixel's centre. The camera never sees the horizon, so every depth is positive.
    """
    hits = trace(scene, size)
    return render_colour(scene, size), hits.labels, hits.depth.astype(np.float32)


def trace(scene: Scene, side: int, dtype: type[np.floating] = np.float64) -> Hits:
    """Trace one ray through each cell of a side × side grid."""
    return _first_hits(scene, _rays(scene.camera, side, dtype))


def render_colour(scene: Scene, size: int) -> np.ndarray:
    """The shaded image, uint8 (size, size, 3): the mean of 2 × 2 rays per pixel."""
    side = 2 * size
    rays = _rays(scene.camera, side, np.float32)
    hits = _first_hits(scene, rays)
    labels, depth = hits.labels.ravel(), hits.depth.ravel()
    x, y, z = (
        np.float32(origin) + depth * step.ravel() for origin, step in zip(scene.camera.position, rays, strict=True)
    )
    lit = ~_shadowed(scene, labels, (x, y, z))
    colour = np.empty((3, side * side), np.float32)

    where = np.flatnonzero(labels == 0)
    brightness = _AMBIENT + np.float32(_DIFFUSE * scene.light[2]) * lit[where]
    colour[:, where] = ground_colour(scene.ground, x[where], y[where]) * brightness
    for number, thing in enumerate(scene.things, start=1):
        where = np.flatnonzero(labels == number)
        colour[:, where] = _shade(scene, thing, (x[where], y[where], z[where]), lit[where])

    mean = colour.reshape(3, size, 2, size, 2).sum(axis=(2, 4)) * np.float32(255 / 4)
    return np.ascontiguousarray(np.clip(mean + np.float32(0.5), 0, 255).astype(np.uint8).transpose(1, 2, 0))


def _rays(camera: Camera, side: int, dtype: type[np.floating]) -> Arrays:
    """Directions of the rays through the cells' centres, each (side, side)."""
    centres = (np.arange(side) + 0.5) / side
    direction = camera.direction(centres[None, :], centres[:, None])
    x, y, z = (np.broadcast_to(axis.astype(dtype), (side, side)) for axis in direction)
    return x, y, z


def _first_hits(scene: Scene, rays: Arrays) -> Hits:
    side, dtype = rays[0].shape[0], rays[0].dtype
    depth = np.ascontiguousarray(dtype.type(-scene.camera.position[2]) / rays[2])
    labels = np.zeros((side, side), np.uint8)
    extents = []
    for number, thing in enumerate(scene.things, start=1):
        box = _bounds(scene.camera, thing, side)
        origin = _to_local(thing, scene.camera.position, moved=True)
        direction = _to_local(thing, (rays[0][box], rays[1][box], rays[2][box]), moved=False)
        with np.errstate(invalid="ignore", divide="ignore"):
            entry = thing.solid.enter(origin, direction)
            first = entry < depth[box]
        extents.append(entry.size - int(np.count_nonzero(np.isnan(entry))))
        np.copyto(depth[box], entry, where=first)
        labels[box][first] = number
    return Hits(labels, depth, tuple(extents))


def _bounds(camera: Camera, thing: Thing, side: int) -> tuple[slice, slice]:
    """Rows and columns of the grid that contain a thing."""
    u, v, _ = camera.project(thing.hull)
    rows, columns = (slice(max(math.floor(axis.min() * side), 0), math.ceil(axis.max() * side)) for axis in (v, u))
    return rows, columns


def _to_local(thing: Thing, vector: Vector, moved: bool) -> Vector:
    """World to a thing's unit frame; ``moved`` for points, not for directions."""
    x, y, z = vector
    if moved:
        x, y, z = x - thing.x, y - thing.y, z - thing.z
    scale = 1 / thing.radius
    cos, sin = math.cos(thing.yaw) * scale, math.sin(thing.yaw) * scale
    return cos * x + sin * y, cos * y - sin * x, z * scale


def _shade(scene: Scene, thing: Thing, points: Arrays, lit: np.ndarray) -> np.ndarray:
    """Colour (3, n) of points on a thing: ambient, Lambert and a Blinn-Phong highlight."""
    x, y, z = thing.solid.normal(_to_local(thing, points, moved=True))
    cos, sin = math.cos(thing.yaw), math.sin(thing.yaw)
    normal = _unit((cos * x - sin * y, sin * x + cos * y, z))
    light_x, light_y, light_z = map(np.float32, scene.light)
    eye_x, eye_y, eye_z = map(np.float32, scene.camera.position)
    x, y, z = _unit((eye_x - points[0], eye_y - points[1], eye_z - points[2]))
    half = _unit((x + light_x, y + light_y, z + light_z))
    lambert = np.maximum(_dot(normal, (light_x, light_y, light_z)), 0) * lit
    highlight = np.maximum(_dot(normal, half), 0)
    for _ in range(5):
        highlight = highlight * highlight
    albedo = np.array(COLOUR_RGB[thing.colour], np.float32)[:, None]
    return albedo * (_AMBIENT + _DIFFUSE * lambert) + _SPECULAR * highlight * (lambert > 0)


def _unit(vector: Vector) -> Vector:
    x, y, z = vector
    scale = 1 / np.sqrt(x * x + y * y + z * z)
    return x * scale, y * scale, z * scale


def _dot(first: Vector, second: Vector) -> Component:
    return first[0] * second[0] + first[1] * second[1] + first[2] * second[2]


def _shadowed(scene: Scene, labels: np.ndarray, points: Arrays) -> np.ndarray:
    """Which points lie in the shadow of another thing; the unlit side of a thing is dark by the Lambert term."""
    x, y, z = points
    light_x, light_y, light_z = (np.float32(axis / scene.light[2]) for axis in scene.light)
    # Points projected along the light onto the ground, where the shadow of each thing is a small region.
    ground_x, ground_y = x - z * light_x, y - z * light_y
    dark = np.zeros(labels.shape, bool)
    for number, thing in enumerate(scene.things, start=1):
        hull_x, hull_y, hull_z = thing.hull
        shadow_x, shadow_y = hull_x - hull_z * light_x, hull_y - hull_z * light_y
        near = (ground_x > shadow_x.min()) & (ground_x < shadow_x.max())
        near &= (ground_y > shadow_y.min()) & (ground_y < shadow_y.max())
        near &= labels != number
        where = np.flatnonzero(near)
        origin = _to_local(thing, (x[where], y[where], z[where]), moved=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            entry = thing.solid.enter(origin, _to_local(thing, (light_x, light_y, light_z), moved=False))
            dark[where] |= entry > 0
    return dark
