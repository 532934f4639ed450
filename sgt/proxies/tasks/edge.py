"""Edges, white on black (low level)."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from PIL import Image
from pydantic import Field, model_validator
from scipy.ndimage import gaussian_filter, label

from sgt.data.shards import Sample
from sgt.proxies.base import Proxy
from sgt.study.fields import Strict

WHITE_PERCENTILE = 99


class Edge(Proxy):
    """``gradient``: Sobel gradient magnitude of luminance, scaled so that its 99th percentile is white. ``canny``:
    Canny's edges, white lines one pixel wide.
    """

    class Options(Strict):
        """The detector and Canny's settings."""

        task: Literal["edge"]
        method: Literal["gradient", "canny"] = "gradient"
        sigma: float = Field(1.4, ge=0, le=20, description="canny: standard deviation of the smoothing, pixels")
        low: float = Field(0.1, gt=0, le=1, description="canny: share of the largest gradient that continues a line")
        high: float = Field(0.2, gt=0, le=1, description="canny: share of the largest gradient that begins a line")

        @model_validator(mode="after")
        def _check_consistent(self) -> "Edge.Options":
            if self.method != "canny" and (unused := self.model_fields_set & {"sigma", "low", "high"}):
                raise ValueError(f"method {self.method} has no {min(unused)}: remove it")
            if self.low > self.high:
                raise ValueError(f"low {self.low} is above high {self.high}: swap them")
            return self

    name = "edge"
    level = "low"
    sheet_order = 3
    prompts = (
        "draw the edges",
        "make an edge map",
        "trace the outlines in white on black",
        "show where the brightness changes",
        "draw only the lines of the picture",
        "find all the edges",
    )

    def render(self, image: Image.Image, sample: Sample) -> Image.Image:
        """An 8-bit grey image; black where the image is flat."""
        strength = DETECTORS[self.options.method](image, self.options)
        white = np.percentile(strength, WHITE_PERCENTILE) or strength.max()
        scaled = np.clip(strength / white, 0, 1) if white else strength
        return Image.fromarray(np.round(255 * scaled).astype(np.uint8))


def sobel(grey: np.ndarray) -> np.ndarray:
    """Gradient magnitude, float64 (H, W), of a grey image whose border is repeated."""
    return np.hypot(*_gradient(grey))


def canny(grey: np.ndarray, sigma: float, low: float, high: float) -> np.ndarray:
    """Canny's lines, bool (H, W), of a grey image; thresholds are shares of the largest gradient of the smoothed
    image."""
    across, down = _gradient(gaussian_filter(grey, sigma, mode="nearest"))
    strength = np.hypot(across, down)
    ridge = _is_ridge(across, down, strength)
    weak = ridge & (strength >= low * strength.max()) & (strength > 0)
    pieces, count = label(weak, structure=np.ones((3, 3)))
    begun = np.zeros(count + 1, bool)
    begun[pieces[weak & (strength >= high * strength.max())]] = True
    begun[0] = False
    return begun[pieces]


def _is_ridge(across: np.ndarray, down: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Where the gradient is largest along its own direction, which is rounded to one of four."""
    height, width = strength.shape
    padded = np.pad(strength, 1)
    sector = np.round(np.arctan2(down, across) / (np.pi / 4)).astype(int) % 4
    ridge = np.zeros(strength.shape, bool)
    for place, (dy, dx) in enumerate(((0, 1), (1, 1), (1, 0), (1, -1))):
        after = padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]
        before = padded[1 - dy : 1 - dy + height, 1 - dx : 1 - dx + width]
        # Of two equal neighbours one is kept.
        ridge |= (sector == place) & (strength > before) & (strength >= after)
    return ridge


def _gradient(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sobel's horizontal and vertical derivative, float64 (H, W) each; the border is repeated."""
    p = np.pad(grey, 1, mode="edge")
    across = p[:, 2:] - p[:, :-2]
    down = p[2:, :] - p[:-2, :]
    horizontal = across[:-2] + 2 * across[1:-1] + across[2:]
    vertical = down[:, :-2] + 2 * down[:, 1:-1] + down[:, 2:]
    return horizontal, vertical


def _grey(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("L"), np.float64)


# From an RGB image and the options to edge strength, float (H, W), at least 0. To add a network such as HED, add an
# entry, and its name to ``Options.method``.
DETECTORS: dict[str, Callable[[Image.Image, Strict], np.ndarray]] = {
    "gradient": lambda image, options: sobel(_grey(image)),
    "canny": lambda image, options: canny(_grey(image), options.sigma, options.low, options.high).astype(float),
}
