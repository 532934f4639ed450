"""Depth as a grey image, near = bright (mid level)."""

import numpy as np
from PIL import Image

from sgt.data.images import decode_depth
from sgt.data.shards import Sample
from sgt.errors import SgtError
from sgt.proxies.base import Proxy

PERCENTILES = (1, 99)


class Depth(Proxy):
    """Inverse depth, normalised per image between its 1st and 99th percentile; unknown depth is black."""

    name = "depth"
    level = "mid"
    needs = ("depth.png",)
    prompts = (
        "show how far everything is",
        "make a depth map",
        "paint near things bright and far things dark",
        "show the distance of every point",
        "draw the depth of the scene",
        "what is near should be white",
    )

    def render(self, image: Image.Image, sample: Sample) -> Image.Image:
        """An 8-bit grey image."""
        where = f"{sample.shard}: {sample.key}.depth.png"
        depth = decode_depth(sample.get("depth.png"), where)
        if depth.shape != (image.height, image.width):
            raise SgtError(where, f"{depth.shape[1]}x{depth.shape[0]}, image {image.size}", "leave this sample out")
        known = depth > 0
        if not known.any():
            return Image.fromarray(np.zeros(depth.shape, np.uint8))
        inverse = np.zeros(depth.shape)
        inverse[known] = 1.0 / depth[known]
        low, high = np.percentile(inverse[known], PERCENTILES)
        scaled = np.clip((inverse - low) / max(high - low, 1e-12), 0, 1)
        return Image.fromarray(np.round(255 * np.where(known, scaled, 0)).astype(np.uint8))
