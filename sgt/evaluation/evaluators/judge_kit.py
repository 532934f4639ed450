"""Pictures with known content, drawn here, and questions about them: whether a judge looks at all.

A judge that cannot see, whose images are lost on their way, or that says yes to everything does not pass.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from sgt.evaluation.evaluators.judge_calls import Call, png

# Raise it when pictures or questions change.
VERSION = 1
SIDE = 256
REQUIRED = 0.9
COLOURS = {"red": (220, 30, 30), "green": (30, 160, 50), "blue": (40, 70, 220), "yellow": (240, 210, 30)}
SHAPES = ("circle", "square", "triangle")
INSTRUCTION = "Look closely and answer the question with yes or no only."


@dataclass(frozen=True)
class Known:
    """A question with its answer, ``yes`` or ``no``."""

    call: Call
    answer: str


def picture(things: Sequence[tuple[str, str]]) -> Image.Image:
    """Things side by side on white, each a colour and a shape."""
    image = Image.new("RGB", (SIDE * len(things), SIDE), "white")
    draw = ImageDraw.Draw(image)
    for place, (colour, shape) in enumerate(things):
        left, right = SIDE * place + 48, SIDE * place + 208
        if shape == "circle":
            draw.ellipse((left, 48, right, 208), fill=COLOURS[colour])
        elif shape == "square":
            draw.rectangle((left, 48, right, 208), fill=COLOURS[colour])
        else:
            draw.polygon([((left + right) // 2, 48), (left, 208), (right, 208)], fill=COLOURS[colour])
    return image


def kit(pairs: bool = False) -> list[Known]:
    """Twenty questions about one image each; half of the answers are no.

    Args:
        pairs: ten more about two images each, as edits are judged: their order must be kept.
    """
    known = []
    for number in range(10):
        first, second, absent = _things(number)
        asked = {
            f"Is the {first[1]} on the left {first[0]}?": "yes",
            f"Is there a {absent} {second[1]} in the image?": "no",
        }
        known += _known([picture([first, second])], asked)
    for number in range(5 if pairs else 0):
        first, second, _ = _things(number)
        asked = {
            f"Does the first image show a {first[0]} {first[1]}?": "yes",
            f"Does the second image show a {first[0]} {first[1]}?": "no",
        }
        known += _known([picture([first]), picture([second])], asked)
    return known


def _things(number: int) -> tuple[tuple[str, str], tuple[str, str], str]:
    """Two things, each a colour and a shape, that differ in both, and a colour that neither has."""
    colours = list(COLOURS)
    first = (colours[number % 4], SHAPES[number % 3])
    second = (colours[(number + 1 + number // 4) % 4], SHAPES[(number + 1) % 3])
    return first, second, next(colour for colour in colours if colour not in (first[0], second[0]))


def _known(shown: Sequence[Image.Image], asked: Mapping[str, str]) -> list[Known]:
    pictures = [png(image) for image in shown]
    return [
        Known(Call(f"{INSTRUCTION}\n{question}", pictures, max_tokens=16), answer) for question, answer in asked.items()
    ]
