"""What a proxy task is."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from sgt.config.datasets import Samples
from sgt.config.proxies import ProxyOptions
from sgt.data.identity import fetched_content
from sgt.data.shards import Sample
from sgt.errors import SgtError
from sgt.identity import Identity

Level = Literal["high", "mid", "low"]


class Proxy(ABC):
    """A visual task used as an image-generation target.

    ``Options``, a class of each proxy, says what a study can choose about it; its ``task`` is the proxy's name.

    Attributes:
        name: what a study calls it.
        level: high (semantic), mid (geometric) or low (pixels).
        prompts: instructions, one of which is drawn per sample.
        needs: extensions that a sample must have besides its image (``json`` for masks, ``depth.png``).
        needs_classes: annotations must name their category (``category_id``).
        label_like: the target is a palette image whose colours are labels, resized only by nearest neighbour.
        reads_pixels: the target depends on the image's pixels; of others ``render`` may be given a blank image.
        batch: how many samples are rendered together.
        version: raised by whoever changes what the proxy renders or shows.
        options: what was chosen.
    """

    class Options(ProxyOptions):
        """Nothing to choose but the task."""

    name: str
    level: Level
    prompts: tuple[str, ...]
    needs: tuple[str, ...] = ()
    needs_classes: bool = False
    label_like: bool = False
    reads_pixels: bool = True
    batch: int = 1
    version: int = 1

    def __init__(self, options: ProxyOptions | None = None) -> None:
        self.options = options or self.Options(task=self.name)

    @abstractmethod
    def render(self, image: Image.Image, sample: Sample) -> Image.Image:
        """The target of one sample: deterministic, same size as the image.

        Args:
            image: the decoded input, RGB, upright.
            sample: what it came from, for its annotations and depth. They lie over the stored pixels, and are turned
                by :func:`sgt.data.images.orientation_of_sample`.

        Returns:
            An RGB, L, 16-bit or (label-like) palette image; the very ``image`` where that is the target.

        Raises:
            SgtError: the annotations do not fit the image.
        """

    def render_all(self, images: Sequence[Image.Image], samples: Sequence[Sample]) -> list[Image.Image | SgtError]:
        """The targets of several samples as ``render`` makes them, or why there is none; overridden where faster."""
        return [self._rendered(image, sample) for image, sample in zip(images, samples, strict=True)]

    def _rendered(self, image: Image.Image, sample: Sample) -> Image.Image | SgtError:
        try:
            return self.render(image, sample)
        except SgtError as error:
            return error

    def left_out(self, image: Image.Image, sample: Sample) -> Counter[str]:
        """How many annotations of a sample are not in its target because they have no area, by what they are."""
        return Counter()

    def condition(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        """What the model sees instead of the image; the image itself unless the task degrades it."""
        return image

    @property
    def downloads(self) -> tuple[str, ...]:
        """Folders of fetched models that rendering needs."""
        return ()

    @property
    def choices(self) -> Identity:
        """What decides targets, for an identity: the options, with what a fetched model is instead of its folder."""
        chosen = self.options.model_dump(mode="json")
        models = {folder: fetched_content(Path(folder)) for folder in self.downloads}
        chosen = {key: models.get(value, value) if isinstance(value, str) else value for key, value in chosen.items()}
        return {**chosen, "version": self.version}

    @property
    def degrades(self) -> bool:
        """Whether the model sees something else than the image."""
        return type(self).condition is not Proxy.condition

    def lacks(self, dataset: Samples) -> str | None:
        """What this proxy is rendered from that the samples of a dataset never have; None if it is all there."""
        if missing := sorted(set(self.needs) - dataset.files):
            return "annotations" if missing[0] == "json" else missing[0]
        return "classes" if self.needs_classes and not dataset.classes else None

    def applies_to(self, sample: Sample) -> bool:
        """Whether the sample has what this proxy is rendered from; whether it is valid shows in ``render``."""
        return all(extension in sample.files for extension in self.needs)


class CleanImage(Proxy):
    """A task whose target is the image itself; what the model sees may be degraded (low level)."""

    level = "low"

    def render(self, image: Image.Image, sample: Sample) -> Image.Image:
        """The image."""
        return image
