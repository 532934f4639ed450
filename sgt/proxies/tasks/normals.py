"""Surface normals from depth (mid level)."""

from typing import Literal

import numpy as np
from PIL import Image
from pydantic import Field

from sgt.config.proxies import ProxyOptions
from sgt.data.shards import Sample
from sgt.proxies.base import Proxy
from sgt.proxies.fidelity import Measure
from sgt.proxies.tasks.depth import inverse_depth

ANGLE = Measure("angular error", "°", higher_is_better=False, range=(0.0, 180.0))


class Normals(Proxy):
    """The normal of each visible surface, (right, up, towards the camera) as R, G, B; unknown is black.

    Depth is unprojected to points by a pinhole camera; the normal is the cross product of their derivatives along the
    image's rows and columns.
    """

    class Options(ProxyOptions):
        """The camera."""

        task: Literal["normals"]
        focal: float = Field(1.2, gt=0.1, le=10, description="focal length, as a share of the longer side")

    options: Options
    name = "normals"
    level = "mid"
    needs = ("depth.png",)
    reads_pixels = False
    version = 2
    prompts = (
        "show which way every surface faces",
        "make a normal map",
        "colour the surfaces by direction",
        "draw the surface normals",
        "paint the slope of everything",
        "show how the surfaces are turned",
    )

    def render(self, image: Image.Image, sample: Sample) -> Image.Image:
        """An RGB image."""
        from scipy import ndimage  # imported where it is used: every command of sgt loads the proxies

        inverse = inverse_depth(sample, image.size)
        known = inverse > 0
        depth = np.divide(1.0, inverse, out=np.zeros_like(inverse), where=known)
        rgb = np.round(127.5 * (normals(depth, self.options.focal * max(image.size)) + 1)).astype(np.uint8)
        # The derivatives at a pixel use its four neighbours, so the depth of all five has to be known.
        unknown = ndimage.binary_dilation(~known)
        return Image.fromarray(np.where(unknown[:, :, None], np.uint8(0), rgb))

    def fidelity(self, made: Image.Image, target: Image.Image, given: Image.Image) -> dict[Measure, float]:
        """Mean angle between made and true normals, degrees, where the true ones are known."""
        known = np.asarray(target).any(axis=2)
        if not known.any():
            return {ANGLE: np.nan}
        one, other = (np.asarray(image)[known] / 127.5 - 1 for image in (made, target))
        lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
        cosines = np.divide((one * other).sum(axis=1), lengths, out=np.zeros_like(lengths), where=lengths > 0)
        return {ANGLE: float(np.degrees(np.arccos(cosines.clip(-1, 1))).mean())}


def normals(depth: np.ndarray, focal: float) -> np.ndarray:
    """Unit normals (H, W, 3), right, up and towards the camera, of depth (H, W) along the optical axis.

    Args:
        depth: in any unit.
        focal: focal length in pixels; the principal point is the middle of the image.
    """
    height, width = depth.shape
    rows, columns = np.mgrid[0:height, 0:width]
    right = (columns - (width - 1) / 2) / focal * depth
    up = -(rows - (height - 1) / 2) / focal * depth
    points = np.stack([right, up, -depth], axis=-1)
    along_row, along_column = (
        np.gradient(points, axis=axis) if depth.shape[axis] > 1 else _single_line(points, axis) for axis in (1, 0)
    )
    normal = np.cross(along_row, -along_column)
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    return np.divide(normal, length, out=np.zeros_like(normal), where=length > 0)


def _single_line(points: np.ndarray, axis: int) -> np.ndarray:
    """The derivative along an axis with one pixel: the surface is assumed to be parallel to the image plane there."""
    step = np.zeros(3)
    step[0 if axis == 1 else 1] = 1 if axis == 1 else -1
    return np.broadcast_to(step, points.shape)
