"""Depth, near is bright (mid level)."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image
from pydantic import Field, model_validator

from sgt.config.fields import Folder
from sgt.config.proxies import ProxyOptions
from sgt.data.images import decode_depth, orientation_of_sample
from sgt.data.shards import Sample
from sgt.errors import SgtError
from sgt.proxies.base import Proxy
from sgt.proxies.dataset_fidelity import depth_quality, depth_sums
from sgt.proxies.fidelity import Measure, aligned, correlation, nearest_colours

if TYPE_CHECKING:
    from sgt.proxies.annotators.depth_pro import DepthPro
    from sgt.proxies.depth_anything import DepthAnything

PERCENTILES = (1, 99)
CORRELATION = Measure("correlation", range=(-1.0, 1.0))
ABS_REL = Measure("AbsRel", higher_is_better=False, range=(0.0, None))
# Share of the range of inverse depth below which an error is not divided by it: its zero is that of the image, not of
# the world.
_FAR = 0.1


class Depth(Proxy):
    """Inverse depth, normalised per image between its 1st and 99th percentile; unknown depth is black.

    The depth is the dataset's (``KEY.depth.png``), or estimated from the image by Depth Anything V2 or
    Depth Pro.
    """

    class Options(ProxyOptions):
        """Where depth comes from and how it is drawn."""

        task: Literal["depth"]
        estimator: Literal["dataset", "depth-anything-v2", "depth-pro"] = "dataset"
        model: Folder | None = Field(None, description="of an estimator: folder of the fetched model, at its size")
        batch: int = Field(8, ge=1, description="of an estimator: images estimated together")
        bits: Literal[8, 16] = 8
        colours: Literal["grey", "inferno", "magma", "viridis", "turbo"] = "grey"

        @model_validator(mode="after")
        def _check_consistent(self) -> "Depth.Options":
            if (self.estimator == "dataset") != (self.model is None):
                raise ValueError("model is for an estimator, which needs one: give both or neither")
            if self.bits == 16 and self.colours != "grey":
                raise ValueError(f"colour map {self.colours} has 8 bits: remove bits or colours")
            return self

    options: Options
    name = "depth"
    level = "mid"
    sheet_order = 2
    needs: tuple[str, ...] = ("depth.png",)
    prompts = (
        "show how far everything is",
        "make a depth map",
        "paint near things bright and far things dark",
        "show the distance of every point",
        "draw the depth of the scene",
        "what is near should be white",
    )

    def __init__(self, options: ProxyOptions | None = None) -> None:
        super().__init__(options)
        if self.options.estimator == "dataset":
            self.reads_pixels = False
        else:
            self.needs, self.batch_size = (), self.options.batch

    @property
    def downloads(self) -> tuple[str, ...]:
        """The estimator's folder."""
        return (self.options.model,) if self.options.model else ()

    def render(self, image: Image.Image, sample: Sample) -> Image.Image:
        """A grey image of 8 or 16 bits, or RGB."""
        if self.options.estimator == "dataset":
            return self._to_image(inverse_depth(sample, image.size))
        return self._to_image(self._estimator.estimate([image])[0])

    def render_batch(self, images: Sequence[Image.Image], samples: Sequence[Sample]) -> list[Image.Image | SgtError]:
        """As ``render``; the estimator gets all images as one batch."""
        if self.options.estimator == "dataset":
            return super().render_batch(images, samples)
        return [self._to_image(inverse) for inverse in self._estimator.estimate(images)]

    def fidelity(self, made: Image.Image, target: Image.Image, given: Image.Image) -> dict[Measure, float]:
        """Correlation of inverse depths where they are known, and the mean relative error of the made ones there.

        Targets are relative, so for the error the made inverse depths are brought to the scale and shift that fit the
        true ones best, and the farthest tenth of the range is left out.
        """
        known = np.asarray(target).any(axis=2)
        values, true = (self._inverse(image)[known] for image in (made, target))
        if not true.size:
            return {CORRELATION: np.nan, ABS_REL: np.nan}
        near = true >= _FAR
        errors = np.abs(aligned(values, true) - true)[near] / true[near]
        return {CORRELATION: correlation(values, true), ABS_REL: float(errors.mean()) if errors.size else np.nan}

    def measured(self, sample: Sample, size: tuple[int, int]) -> Image.Image | None:
        """Depth as the dataset has it, 16-bit; none of an estimate."""
        if self.options.estimator != "dataset":
            return None
        return Image.fromarray(stored_depth(sample, size))

    def sums(self, made: Image.Image, target: Image.Image, measured: Image.Image | None) -> dict[str, float]:
        """Errors of depth where it was measured."""
        if measured is None:
            return depth_sums(np.zeros((1, 1)), np.zeros((1, 1), np.uint16))
        return depth_sums(self._inverse(made), np.asarray(measured.resize(made.size, Image.Resampling.NEAREST)))

    def dataset_fidelity(self, sums: Mapping[str, float]) -> dict[Measure, float]:
        """Those of samples with a measured depth."""
        return depth_quality(sums)

    def _inverse(self, image: Image.Image) -> np.ndarray:
        """Inverse depth as drawn, float64 (H, W) from 0 to 1."""
        if self.options.colours == "grey":
            return np.asarray(image, np.float64).mean(axis=2) / 255
        return nearest_colours(image, _colour_map(self.options.colours)) / 255

    @cached_property
    def _estimator(self) -> "DepthAnything | DepthPro":
        # These import torch, which only estimating needs.
        (folder,) = self.downloads
        if self.options.estimator == "depth-pro":
            from sgt.proxies.annotators.depth_pro import DepthPro

            return DepthPro(folder)
        from sgt.proxies.depth_anything import DepthAnything

        return DepthAnything(folder)

    def _to_image(self, inverse: np.ndarray) -> Image.Image:
        known = inverse > 0
        scaled = np.zeros(inverse.shape)
        if known.any():
            low, high = np.percentile(inverse[known], PERCENTILES)
            scaled = np.where(known, np.clip((inverse - low) / max(high - low, 1e-12), 0, 1), 0)
        if self.options.bits == 16:
            return Image.fromarray(np.round(65535 * scaled).astype(np.uint16))
        grey = np.round(255 * scaled).astype(np.uint8)
        if self.options.colours == "grey":
            return Image.fromarray(grey)
        return Image.fromarray(np.where(known[:, :, None], _colour_map(self.options.colours)[grey], np.uint8(0)))


def stored_depth(sample: Sample, size: tuple[int, int]) -> np.ndarray:
    """Depth of a sample, uint16 (H, W), upright, in the dataset's unit; 0 where it is unknown.

    Args:
        sample: with ``depth.png``, in the orientation of the stored pixels.
        size: (width, height) of the upright image.

    Raises:
        SgtError: there is no depth, or its size is not the image's.
    """
    where = f"{sample.shard}: {sample.key}.depth.png"
    depth = orientation_of_sample(sample).pixels(decode_depth(sample.get("depth.png"), where))
    if depth.shape[::-1] != size:
        raise SgtError(where, f"{depth.shape[1]}x{depth.shape[0]}, image {size}", "leave this sample out")
    return depth


def inverse_depth(sample: Sample, size: tuple[int, int]) -> np.ndarray:
    """1 / depth of a sample, float64 (H, W); 0 where it is unknown. See :func:`stored_depth`."""
    depth = stored_depth(sample, size)
    inverse = np.zeros(depth.shape)
    np.divide(1.0, depth, out=inverse, where=depth > 0)
    return inverse


def _colour_map(name: str) -> np.ndarray:
    from matplotlib import colormaps  # imported where it is used: every command of sgt loads the proxies

    return np.round(255 * colormaps[name](np.arange(256))[:, :3]).astype(np.uint8)
