"""Procedural textures of the ground, in two muted colours."""

import math

import numpy as np

from sgt.data.toyworld.scene import Ground

_LATTICE = 32


def ground_colour(ground: Ground, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """RGB in [0, 1], float32 (3, n), of the ground at points (x, y), float32 (n,)."""
    cos, sin = math.cos(ground.angle) / ground.period, math.sin(ground.angle) / ground.period
    weight = TEXTURES[ground.kind](cos * x + sin * y, cos * y - sin * x, ground.seed)
    first, second = (np.array(colour, np.float32)[:, None] for colour in ground.colours)
    return first + (second - first) * weight


def _checker(x: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
    return ((np.floor(x) + np.floor(y)).astype(np.int32) & 1).astype(np.float32)


def _stripes(x: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
    return (np.floor(x).astype(np.int32) & 1).astype(np.float32)


def _noise(x: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
    """Value noise of two octaves, bilinear on a periodic lattice."""
    lattice = np.random.default_rng(seed).random((_LATTICE, _LATTICE), np.float32)
    return np.float32(0.65) * _bilinear(lattice, x, y) + np.float32(0.35) * _bilinear(lattice, 2.5 * x, 2.5 * y)


def _bilinear(lattice: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    floor_x, floor_y = np.floor(x), np.floor(y)
    x, y = x - floor_x, y - floor_y
    column, row = floor_x.astype(np.int32) % _LATTICE, floor_y.astype(np.int32) % _LATTICE
    start, right = row * _LATTICE + column, row * _LATTICE + (column + 1) % _LATTICE
    below = _LATTICE * ((row + 1) % _LATTICE - row)
    values = lattice.ravel()
    top = values[start] + (values[right] - values[start]) * x
    bottom = values[start + below] + (values[right + below] - values[start + below]) * x
    return top + (bottom - top) * y


TEXTURES = {"checker": _checker, "stripes": _stripes, "noise": _noise}
