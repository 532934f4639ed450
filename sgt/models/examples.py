"""A training sample, independent of the model family: input images, texts, questions with answers, target images."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image


class ImageOutline(Image.Image):
    """Takes the place of an image in an example whose size alone is read: it has no pixels, and using them fails.

    Args:
        size: (width, height).
    """

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self._size = size  # where PIL's readers put the size of a file that is not decoded yet


@dataclass(frozen=True)
class InputImage:
    """An image in the input, encoded by the semantic encoder.

    Attributes:
        vqa: questions about it are answered. BAGEL may encode such images at a higher resolution.
    """

    image: Image.Image
    vqa: bool = False


@dataclass(frozen=True)
class Text:
    """A text; with a cross-entropy loss if ``supervised``."""

    text: str
    supervised: bool = False


@dataclass(frozen=True)
class QAPair:
    """A question and its supervised answer; what follows in the example does not attend to them."""

    question: str
    answer: str


@dataclass(frozen=True)
class TargetImage:
    """An image that the model is trained to generate. Palette images hold labels: resized by nearest neighbour."""

    image: Image.Image


Example = Sequence[InputImage | Text | QAPair | TargetImage]
