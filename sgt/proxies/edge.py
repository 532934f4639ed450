"""Edges as soft gradient magnitude, white on black (low level)."""

import numpy as np
from PIL import Image

from sgt.data.shards import Sample
from sgt.proxies.base import Proxy

PERCENTILE = 99


class Edge(Proxy):
    """Sobel gradient magnitude of luminance, scaled so that its 99th percentile is white."""

    name = "edge"
    level = "low"
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
        strength = sobel(np.asarray(image.convert("L"), np.float64))
        white = np.percentile(strength, PERCENTILE) or strength.max()
        scaled = np.clip(strength / white, 0, 1) if white else strength
        return Image.fromarray(np.round(255 * scaled).astype(np.uint8))


def sobel(grey: np.ndarray) -> np.ndarray:
    """Gradient magnitude, float64 (H, W), of a grey image whose border is repeated."""
    p = np.pad(grey, 1, mode="edge")
    across = p[:, 2:] - p[:, :-2]
    down = p[2:, :] - p[:-2, :]
    horizontal = across[:-2] + 2 * across[1:-1] + across[2:]
    vertical = down[:, :-2] + 2 * down[:, 1:-1] + down[:, 2:]
    return np.hypot(horizontal, vertical)
