"""Edges, white on black (low level)."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from PIL import Image
from pydantic import Field, model_validator

from sgt.config.proxies import ProxyOptions
from sgt.data.shards import Sample
from sgt.proxies.base import Proxy
from sgt.proxies.fidelity import Measure, edge_f1

WHITE_PERCENTILE = 99
F1 = Measure("edge F1")


class Edge(Proxy):
    """``gradient``: Sobel gradient magnitude, scaled so that its 99th percentile is white. ``canny``: Canny's edges of
    luminance, white lines one pixel wide.
    """

    class Options(ProxyOptions):
        """The detector and Canny's settings."""

        task: Literal["edge"]
        method: Literal["gradient", "canny"] = "gradient"
        channels: Literal["luminance", "colour"] = Field(
            "luminance",
            description="gradient: of luminance, or at each pixel the largest of the gradients of red, green and blue, "
            "which shows the outline of a thing that is as bright as what is behind it",
        )
        smoothing: float = Field(
            0,
            ge=0,
            le=20,
            description="gradient: standard deviation of a blur before it, pixels; lines become wider and softer, and "
            "fine textures vanish, for models of few tokens per image",
        )
        sigma: float = Field(1.4, ge=0, le=20, description="canny: standard deviation of the smoothing, pixels")
        low: float = Field(0.1, gt=0, le=1, description="canny: share of the largest gradient that continues a line")
        high: float = Field(0.2, gt=0, le=1, description="canny: share of the largest gradient that begins a line")

        @model_validator(mode="after")
        def _check_consistent(self) -> "Edge.Options":
            if self.method != "canny" and (unused := self.model_fields_set & {"sigma", "low", "high"}):
                raise ValueError(f"method {self.method} has no {min(unused)}: remove it")
            if self.method != "gradient" and "smoothing" in self.model_fields_set:
                raise ValueError(f"method {self.method} has no smoothing: set sigma")
            if self.method != "gradient" and "channels" in self.model_fields_set:
                raise ValueError(f"method {self.method} has no channels: it reads luminance, remove it")
            if self.low > self.high:
                raise ValueError(f"low {self.low} is above high {self.high}: swap them")
            return self

    options: Options
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

    def __init__(self, options: ProxyOptions | None = None) -> None:
        super().__init__(options)
        if self.options.method == "canny":
            self.version = 2

    def render(self, image: Image.Image, sample: Sample) -> Image.Image:
        """An 8-bit grey image; black where the image is flat."""
        strength = DETECTORS[self.options.method](image, self.options)
        white = np.percentile(strength, WHITE_PERCENTILE) or strength.max()
        scaled = np.clip(strength / white, 0, 1) if white else strength
        return Image.fromarray(np.round(255 * scaled).astype(np.uint8))

    def fidelity(self, made: Image.Image, target: Image.Image, given: Image.Image) -> dict[Measure, float]:
        """F1 score of the pixels that are at least half white (:func:`sgt.proxies.fidelity.edge_f1`)."""
        return {F1: edge_f1(*(np.asarray(image.convert("L")) >= 128 for image in (made, target)))}


def sobel(grey: np.ndarray) -> np.ndarray:
    """Sobel gradient magnitude, float64 (H, W), of a grey image, float64 (H, W), whose border pixels are repeated."""
    from scipy import ndimage  # imported where it is used: every command of sgt loads the proxies

    return np.hypot(ndimage.sobel(grey, axis=1), ndimage.sobel(grey, axis=0))


def smoothed(grey: np.ndarray, sigma: float) -> np.ndarray:
    """A grey image, float64 (H, W), blurred by a Gaussian of standard deviation ``sigma``, pixels."""
    from scipy import ndimage

    return ndimage.gaussian_filter(grey, sigma, mode="nearest") if sigma else grey


def canny(grey: np.ndarray, sigma: float, low: float, high: float) -> np.ndarray:
    """Canny's edges, bool (H, W), of a grey image, float64 (H, W).

    Args:
        grey: the image.
        sigma: standard deviation of the smoothing, pixels.
        low, high: hysteresis thresholds, as shares of the largest gradient magnitude of the smoothed image.
    """
    # Imported where they are used: every command of sgt loads the proxies.
    from scipy import ndimage
    from skimage import feature

    smooth = ndimage.gaussian_filter(grey, sigma, mode="nearest")
    largest = sobel(smooth).max()
    return feature.canny(smooth, 0, low * largest, high * largest, mode="nearest")


def _gradient(image: Image.Image, options: Edge.Options) -> np.ndarray:
    channels = image.convert("RGB").split() if options.channels == "colour" else [image.convert("L")]
    smooth = (smoothed(np.asarray(channel, np.float64), options.smoothing) for channel in channels)
    return np.max([sobel(channel) for channel in smooth], axis=0)


def _canny(image: Image.Image, options: Edge.Options) -> np.ndarray:
    grey = np.asarray(image.convert("L"), np.float64)
    return canny(grey, options.sigma, options.low, options.high).astype(float)


# From an RGB image and the options to edge strength, float (H, W), at least 0. To add a network such as HED, add an
# entry, and its name to ``Options.method``.
DETECTORS: dict[str, Callable[[Image.Image, Edge.Options], np.ndarray]] = {"gradient": _gradient, "canny": _canny}
