"""The interface of a proxy task."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from PIL import Image

from sgt.config.proxies import ProxyOptions
from sgt.config.samples import Samples
from sgt.data.identity import fetched_content
from sgt.data.shards import Sample
from sgt.errors import SgtError
from sgt.identity import Identity
from sgt.proxies.fidelity import PSNR, SSIM, Measure, psnr, ssim

Level = Literal["high", "mid", "low"]
LEVELS: tuple[Level, ...] = get_args(Level)


class Proxy(ABC):
    """A visual task used as an image-generation target.

    Each proxy defines ``Options``, a pydantic class of what a study can set for it, with ``task: Literal[NAME]``.

    Attributes:
        name: the name in a study.
        level: high (semantic), mid (geometric) or low (pixels).
        prompts: instructions, one of which is drawn at random per training sample.
        needs: extensions of the members a sample must have besides its image (``json`` for masks, ``depth.png``).
        needs_classes: annotations must have a ``category_id``.
        label_like: the target is a palette image whose colours are labels; it is resized by nearest neighbour only.
        reads_pixels: the target depends on the image's pixels; if not, ``render`` may get a blank image of its size.
        batch_size: number of samples rendered together.
        version: increase it when the rendered targets or degraded inputs change: existing ones are then made again.
        sheet_order: position in contact sheets and lists; equal ones are sorted from high level to low, then by name.
        options: the options in use. A proxy that has any declares ``options: Options``.
    """

    class Options(ProxyOptions):
        """No options but the task's name."""

        task: str

    name: str
    level: Level
    prompts: tuple[str, ...]
    needs: tuple[str, ...] = ()
    needs_classes: bool = False
    label_like: bool = False
    reads_pixels: bool = True
    batch_size: int = 1
    version: int = 1
    sheet_order: int = 100
    options: ProxyOptions

    def __init__(self, options: ProxyOptions | None = None) -> None:
        self.options = options or self.Options(task=self.name)

    @abstractmethod
    def render(self, image: Image.Image, sample: Sample) -> Image.Image:
        """Render the target of one sample: deterministic, of the same size as the image.

        Args:
            image: the decoded input, RGB, upright.
            sample: the stored sample, for its annotations and depth. Their coordinates are those of the stored pixels;
                :func:`sgt.data.images.orientation_of_sample` gives the orientation that makes them upright.

        Returns:
            An RGB, L, 16-bit or (label-like) palette image. If the target is the image itself, the same object.

        Raises:
            SgtError: the annotations do not fit the image.
        """

    def render_batch(self, images: Sequence[Image.Image], samples: Sequence[Sample]) -> list[Image.Image | SgtError]:
        """Render several samples; one that cannot be rendered gives its error instead. Override it if batching is
        faster."""
        return [self._render_or_error(image, sample) for image, sample in zip(images, samples, strict=True)]

    def _render_or_error(self, image: Image.Image, sample: Sample) -> Image.Image | SgtError:
        try:
            return self.render(image, sample)
        except SgtError as error:
            return error

    def left_out(self, image: Image.Image, sample: Sample) -> Counter[str]:
        """How many of a sample's annotations are not in its target, by kind: they have no area, or too small a one."""
        return Counter()

    def condition(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        """The input image that the model gets: the image itself unless the task degrades it.

        Args:
            image: RGB, upright; it must not be modified.
            rng: the only source of randomness.
        """
        return image

    def fidelity(self, made: Image.Image, target: Image.Image, given: Image.Image) -> dict[Measure, float]:
        """How like its true target an image is that a model made. Override it where equal pixels are not the point.

        Args:
            made: RGB.
            target: RGB, of the same size; a palette image was resized by nearest neighbour, so its colours are exact.
            given: RGB, of the same size: the input image that the model got, degraded if the task degrades it.

        Returns:
            By measure, always the same ones, the most telling first; NaN of one that this image does not have.
        """
        pixels = np.asarray(made), np.asarray(target)
        return {PSNR: psnr(*pixels), SSIM: ssim(*pixels)}

    def measured(self, sample: Sample, size: tuple[int, int]) -> Image.Image | None:
        """What the target shows without its exact values, such as depth in millimetres, for :meth:`sums`.

        Args:
            sample: as for :meth:`render`.
            size: (width, height) of the upright image.

        Returns:
            An upright image of this size that can be written as PNG; None, the default, if there is no such thing.

        Raises:
            SgtError: the sample lacks it, or has it in another size.
        """
        return None

    def sums(self, made: Image.Image, target: Image.Image, measured: Image.Image | None) -> dict[str, float]:
        """What one image adds to the sums that :meth:`dataset_fidelity` is worked out of; nothing by default.

        Args:
            made, target: as for :meth:`fidelity`.
            measured: as :meth:`measured` gave it.
        """
        return {}

    def dataset_fidelity(self, sums: Mapping[str, float]) -> dict[Measure, float]:
        """Measures of a whole set of images, of sums over its images: always the same ones, NaN where there is none."""
        return {}

    def displayed(self, made: Image.Image, target: Image.Image) -> Image.Image:
        """An image that a model made, as it is shown beside its true target. Override it where colours are arbitrary.

        Args:
            made: RGB.
            target: RGB.
        """
        return made

    @property
    def downloads(self) -> tuple[str, ...]:
        """Folders of fetched models that rendering needs."""
        return ()

    @property
    def identity(self) -> Identity:
        """Everything about the proxy that decides its targets: its version and options, where the folder of a fetched
        model is replaced by the content of the model."""
        options = self.options.model_dump(mode="json")
        models = {folder: fetched_content(Path(folder)) for folder in self.downloads}

        def with_contents(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: with_contents(each) for key, each in value.items()}
            return models.get(value, value) if isinstance(value, str) else value

        return {**with_contents(options), "version": self.version}

    @property
    def degrades(self) -> bool:
        """Whether the model gets a degraded image instead of the image."""
        return type(self).condition is not Proxy.condition

    def missing_from(self, dataset: Samples) -> str | None:
        """What this proxy needs and no sample of a dataset has, in one word; None if nothing is missing."""
        if missing := sorted(set(self.needs) - dataset.files):
            return "annotations" if missing[0] == "json" else missing[0]
        return "classes" if self.needs_classes and not dataset.classes else None

    def applies_to(self, sample: Sample) -> bool:
        """Whether the sample has the members that this proxy needs; their content is checked by ``render``."""
        return all(extension in sample.files for extension in self.needs)


class CleanImage(Proxy):
    """A low-level task whose target is the image itself; ``condition`` may degrade the input."""

    level = "low"

    def render(self, image: Image.Image, sample: Sample) -> Image.Image:
        """The image."""
        return image
