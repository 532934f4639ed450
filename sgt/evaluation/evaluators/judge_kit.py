"""Pictures with known content, drawn here, and questions about them: whether a judge looks at all.

A judge that cannot see, whose images are lost on their way, or that says yes to everything does not pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from sgt.evaluation.evaluators.judge_calls import Call, png

# Raise it when pictures or questions change.
VERSION = 1
SIDE = 256
REQUIRED = 0.9
COLOURS = {"red": (220, 30, 30), "green": (30, 160, 50), "blue": (40, 70, 220), "yellow": (240, 210, 30)}
SHAPES = ("circle", "square", "triangle")
INSTRUCTION = "Look at the image and answer the question with yes or no only."


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


def kit() -> list[Known]:
    """Twenty questions; half of the answers are no."""
    colours, known = list(COLOURS), []
    for number in range(10):
        first = (colours[number % 4], SHAPES[number % 3])
        second = (colours[(number + 1 + number // 4) % 4], SHAPES[(number + 1) % 3])
        shown = png(picture([first, second]))
        absent = next(colour for colour in colours if colour not in (first[0], second[0]))
        asked = {
            f"Is the {first[1]} on the left {first[0]}?": "yes",
            f"Is there a {absent} {second[1]} in the image?": "no",
        }
        for question, answer in asked.items():
            known.append(Known(Call(f"{INSTRUCTION}\n{question}", [shown], max_tokens=16), answer))
    return known
