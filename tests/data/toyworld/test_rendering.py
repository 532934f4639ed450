"""Rays, depth, labels and shadows of scenes of toyworld."""

import math
from dataclasses import replace

import numpy as np
import pytest

from sgt.data.toyworld import render_scene
from sgt.data.toyworld.raytrace import trace
from sgt.data.toyworld.scene import RADII, Camera, Ground, Scene, Thing
from sgt.data.toyworld.solids import SOLIDS
from sgt.data.toyworld.vocabulary import SHAPES

CAMERA = Camera(0.1, 13.0, math.radians(44), 2.6)
PLAIN = Ground("checker", ((0.8, 0.7, 0.6), (0.8, 0.7, 0.6)), 1.0, 0.0, 0)
SUN = (0.7, -0.3, math.sqrt(0.42))
AMBIENT, DIFFUSE = 0.42, 0.62


def ball_on_ray(row: int, column: int, colour: str = "red") -> tuple[Thing, float, float]:
    """A ball whose centre is on a pixel's ray; its depth, and the length of the ray per unit of depth."""
    ray = np.array(CAMERA.direction((column + 0.5) / 48, (row + 0.5) / 48))
    depth = (RADII["small"] - CAMERA.position[2]) / ray[2]
    x, y, _ = np.array(CAMERA.position) + depth * ray
    return Thing("ball", colour, "small", float(x), float(y), 0.0, 0.0), float(depth), float(np.linalg.norm(ray))


def inside(shape: str, point: np.ndarray) -> np.ndarray:
    """Whether points (3, …) are in a unit solid, by its definition."""
    x, y, z = point
    height, widest = SOLIDS[shape].height, SOLIDS[shape].footprint
    radius = np.hypot(x, y)
    return {
        "ball": x * x + y * y + (z - 1) ** 2 <= 1,
        "cube": (np.maximum(abs(x), abs(y)) <= height / 2) & (z >= 0) & (z <= height),
        "cylinder": (radius <= widest) & (z >= 0) & (z <= height),
        "cone": (radius <= widest * (1 - z / height)) & (z >= 0),
    }[shape]


@pytest.mark.parametrize("from_below", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_rays_enter_solids_where_marching_finds_them(shape, from_below):
    rng = np.random.default_rng(0)
    start = rng.normal(size=(3, 400)) * 0.4 + np.array([[0], [-4], [-3.5 if from_below else 5]])
    start[1, 200:] += 3.4  # steeper than the cone's side
    goal = rng.uniform(-1.3, 1.3, (3, 400)) + np.array([[0], [0], [0.8]])
    direction = goal - start
    with np.errstate(invalid="ignore", divide="ignore"):
        entry = SOLIDS[shape].enter(tuple(start), tuple(direction))
    steps = np.linspace(0, 2.5, 5001)
    marched = inside(shape, start[:, :, None] + direction[:, :, None] * steps)
    found = np.where(marched.any(axis=1), steps[marched.argmax(axis=1)], np.nan)
    assert 40 < np.isfinite(found).sum() < 360
    grazing = marched.sum(axis=1) < 10
    assert np.array_equal(np.isnan(entry)[~grazing], np.isnan(found)[~grazing] | (entry[~grazing] > 2.5))
    both = np.isfinite(found) & np.isfinite(entry)
    assert np.abs(entry - found)[both].max() < 2 * steps[1]
    if from_below:
        # Only the light is seen from below; the camera never is, so no normal of a bottom is needed.
        return
    surface = start + direction * entry
    normal = np.array(SOLIDS[shape].normal(tuple(surface[:, both])))
    assert ((normal * direction[:, both]).sum(axis=0) < 1e-9).all()


def test_depth_of_a_balls_centre_pixel_is_analytic():
    thing, depth, length = ball_on_ray(20, 30)
    scene = Scene(CAMERA, SUN, PLAIN, (thing,))
    hits = trace(scene, 48)
    expected = depth - thing.radius / length
    assert hits.labels[20, 30] == 1
    assert hits.depth[20, 30] == pytest.approx(expected, abs=1e-9)
    assert hits.depth[40, 5] == pytest.approx(CAMERA.position[2] / -CAMERA.direction(0, 40.5 / 48)[2], abs=1e-9)
    assert render_scene(scene, 48)[2][20, 30] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("nearest_first", [True, False])
def test_the_nearer_thing_hides_the_farther(nearest_first):
    near, far = ball_on_ray(26, 24, "red")[0], ball_on_ray(19, 24, "blue")[0]
    things = (near, far) if nearest_first else (far, near)
    hits = trace(Scene(CAMERA, SUN, PLAIN, things), 48)
    alone = [trace(Scene(CAMERA, SUN, PLAIN, (thing,)), 48).labels > 0 for thing in (near, far)]
    assert (alone[0] & alone[1]).sum() > 10
    label = {thing: number for number, thing in enumerate(things, start=1)}
    assert np.array_equal(hits.labels == label[near], alone[0])
    assert np.array_equal(hits.labels == label[far], alone[1] & ~alone[0])
    assert hits.extents == tuple(int((alone[0] if thing is near else alone[1]).sum()) for thing in things)


@pytest.mark.parametrize("raised, beyond", [(0.0, 0.8), (0.6, 0.0)])
def test_the_ground_is_lit_except_in_the_hard_shadow(raised, beyond):
    thing = Thing("ball", "green", "large", 0.0, 0.5, raised, 0.0)
    image, labels, _ = render_scene(Scene(CAMERA, SUN, PLAIN, (thing,)), 96)
    shadow = np.array(thing.centre) - np.array(SUN) * (thing.centre[2] / SUN[2]) - (beyond * SUN[0], beyond * SUN[1], 0)
    u, v, _ = CAMERA.project(shadow[:, None])
    row, column = int(v[0] * 96), int(u[0] * 96)
    assert labels[row, column] == 0
    colour = np.array(PLAIN.colours[0]) * 255
    assert np.abs(image[row, column] - AMBIENT * colour).max() <= 1
    assert np.abs(image[90, 5] - (AMBIENT + DIFFUSE * SUN[2]) * colour).max() <= 1
    values = {tuple(pixel) for pixel in image[labels == 0]}
    assert len(values) > 2  # the shadow's edge is anti-aliased


def test_labels_and_depth_are_those_of_every_ray_against_every_thing(samples):
    centres = (np.arange(48) + 0.5) / 48
    for scene, labels in ((made.scene, made.labels) for made in samples[:12]):
        rays = np.stack([np.broadcast_to(axis, (48, 48)) for axis in scene.camera.direction(centres, centres[:, None])])
        depths = [-scene.camera.position[2] / rays[2]]
        for thing in scene.things:
            turn = np.array([[math.cos(thing.yaw), math.sin(thing.yaw)], [-math.sin(thing.yaw), math.cos(thing.yaw)]])
            origin = np.array(scene.camera.position) - (thing.x, thing.y, thing.z)
            local = [(*(turn @ vector[:2].reshape(2, -1)), vector[2].ravel()) for vector in (origin, rays)]
            with np.errstate(invalid="ignore"):
                scaled = [tuple(axis / RADII[thing.size] for axis in vector) for vector in local]
                depths.append(SOLIDS[thing.shape].enter(*scaled).reshape(48, 48))
        nearest = np.nanmin(depths, axis=0)
        assert np.array_equal(labels, np.nanargmin(depths, axis=0))
        assert np.allclose(render_scene(scene, 48)[2], nearest, rtol=1e-6)


def in_shadow(scene: Scene, points: np.ndarray) -> np.ndarray:
    """Whether something is between ground points (3, n) and the light, found by marching."""
    steps = np.linspace(0, 12, 600)
    dark = np.zeros(points.shape[1], bool)
    for thing in scene.things:
        path = points[:, :, None] + np.array(scene.light)[:, None, None] * steps
        x, y, z = (path - np.array((thing.x, thing.y, thing.z))[:, None, None]) / thing.radius
        cos, sin = math.cos(thing.yaw), math.sin(thing.yaw)
        dark |= inside(thing.shape, np.stack([cos * x + sin * y, cos * y - sin * x, z])).any(axis=1)
    return dark


def test_floating_things_throw_their_shadows_where_marching_finds_them(samples):
    centres = (np.arange(48) + 0.5) / 48
    raised = [made.scene for made in samples if any(thing.z > 1 for thing in made.scene.things)]
    shaded = 0
    for drawn in raised[:4]:
        scene = replace(drawn, ground=PLAIN)
        bare = trace(scene, 48).labels == 0
        rays = np.stack([np.broadcast_to(axis, (48, 48)) for axis in scene.camera.direction(centres, centres[:, None])])
        points = np.array(scene.camera.position)[:, None, None] - scene.camera.position[2] / rays[2] * rays
        dark = np.zeros((48, 48), bool)
        dark[bare] = in_shadow(scene, points[:, bare])
        # Pixels all of whose four rays meet the ground.
        whole = bare.reshape(24, 2, 24, 2).all(axis=(1, 3))
        light = AMBIENT + DIFFUSE * scene.light[2] * (1 - dark.reshape(24, 2, 24, 2).mean(axis=(1, 3)))
        expected = light[:, :, None] * np.array(PLAIN.colours[0]) * 255
        error = np.abs(render_scene(scene, 24)[0] - expected).max(axis=2)[whole]
        # Marching misses rays that graze a thing.
        assert (error > 1.5).mean() < 0.01
        shaded += dark[bare].mean() > 0.02
    assert shaded >= 3
