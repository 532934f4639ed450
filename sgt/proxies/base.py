"""What a proxy task is."""

from abc import ABC, abstractmethod
from typing import Literal

import numpy as np
from PIL import Image

from sgt.data.shards import Sample

Level = Literal["high", "mid", "low"]


class Proxy(ABC):
    """A visual task used as an image-generation target.

    Attributes:
        name: what a study calls it.
        level: high (semantic), mid (geometric) or low (pixels).
        prompts: instructions, one of which is drawn per sample.
        needs: extensions that a sample must have besides its image (``json`` for masks, ``depth.png``).
        label_like: the target is a palette image whose colours are labels, resized only by nearest neighbour.
    """

    name: str
    level: Level
    prompts: tuple[str, ...]
    needs: tuple[str, ...] = ()
    label_like: bool = False

    @abstractmethod
    def render(self, image: Image.Image, sample: Sample) -> Image.Image:
        """The target of one sample: deterministic, same size as the image.

        Args:
            image: the decoded input, RGB.
            sample: what it came from, for its annotations and depth.

        Returns:
            An RGB, L or (label-like) palette image.

        Raises:
            SgtError: the annotations do not fit the image.
        """

    def condition(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        """What the model sees instead of the image; the image itself unless the task degrades it."""
        return image

    @property
    def degrades(self) -> bool:
        """Whether the model sees something else than the image."""
        return type(self).condition is not Proxy.condition

    def applies_to(self, sample: Sample) -> bool:
        """Whether the sample has what this proxy is rendered from; whether it is valid shows in ``render``."""
        return all(extension in sample.files for extension in self.needs)
