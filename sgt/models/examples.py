"""A training sample in a form that every family understands: what is shown, said, asked, and to be made."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image


@dataclass(frozen=True)
class InputImage:
    """An image that the model is shown through its semantic encoder.

    Attributes:
        asked: it is asked about, which may take a finer look than painting from it does.
    """

    image: Image.Image
    asked: bool = False


@dataclass(frozen=True)
class Text:
    """A text; the model learns to say it if ``supervised``."""

    text: str
    supervised: bool = False


@dataclass(frozen=True)
class QAPair:
    """A question and the answer that the model learns; what follows in the example does not see them."""

    question: str
    answer: str


@dataclass(frozen=True)
class TargetImage:
    """An image that the model learns to make. Palette images hold labels: they are resized by nearest neighbour."""

    image: Image.Image


Example = Sequence[InputImage | Text | QAPair | TargetImage]
