"""Pictures with known content, which a detector and a colour classifier must read right before they score anything.

Three photographs that come with scikit-image, alone and side by side; drawings of things that look alike everywhere;
and shapes in each colour.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import cos, pi, sin
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from sgt.evaluation.evaluators.instances import Detection, box_of
from sgt.evaluation.geneval_rules import COLOURS

# Raise it when a picture or what is required of it changes.
KIT_VERSION = 1
SIDE = 640
# Drawings are made this much larger and scaled down, so that their edges are smooth.
_FINER = 3
_WALL = (214, 205, 190)
_RGB = {
    "red": (205, 30, 35),
    "orange": (245, 130, 20),
    "yellow": (245, 215, 30),
    "green": (40, 140, 60),
    "blue": (35, 75, 195),
    "purple": (120, 45, 150),
    "pink": (250, 145, 185),
    "brown": (110, 65, 30),
    "black": (20, 20, 20),
    "white": (245, 245, 245),
}

Box = tuple[int, int, int, int]
Point = tuple[float, float]


@dataclass(frozen=True)
class Picture:
    """An image and what is in it.

    Attributes:
        name: for messages.
        image: RGB.
        things: class and box of each object, (left, top, right, bottom) in pixels.
        wanted: requirements that it meets, as a line of GenEval's metadata.
    """

    name: str
    image: Image.Image
    things: Sequence[tuple[str, Box]]
    wanted: Mapping[str, Any]


def photographs() -> list[Picture]:
    """A person, a cat and a cup; a cat left of a cup, a cup above a cat, and two cats."""
    from skimage import data  # its photographs take long to import

    person = _alone("person", Image.fromarray(data.astronaut()), (20, 15, 365, 512))
    cat = _alone("cat", Image.fromarray(data.chelsea()), (20, 0, 405, 300))
    cup = _alone("cup", Image.fromarray(data.coffee()), (172, 18, 408, 312))
    ((_, box),) = cat.things
    other = ImageOps.mirror(cat.image)
    mirrored = _alone("cat", other, (other.width - box[2], box[1], other.width - box[0], box[3]))
    return [
        person,
        cat,
        cup,
        _beside("a cat left of a cup", cup, cat, "left of"),
        _beside("a cup above a cat", cat, cup, "above"),
        _beside("two cats", cat, mirrored, None),
    ]


def drawings() -> list[Picture]:
    """Things that look alike everywhere."""
    drawn: dict[str, Callable[[ImageDraw.ImageDraw], None]] = {
        "stop sign": _stop_sign,
        "clock": _clock,
        "traffic light": _traffic_light,
        "donut": _donut,
        "umbrella": _umbrella,
        "tv": _tv,
    }
    return [_drawn(name, draw) for name, draw in drawn.items()]


def coloured() -> list[tuple[Image.Image, Detection, str]]:
    """A ball and a vase in each colour: the image, the object in it and its colour."""
    found: list[tuple[Image.Image, Detection, str]] = []
    # Partly a shade darker, as a thing lit from above.
    light = np.linspace(1.0, 0.8, SIDE)[:, None, None]
    for name, shape in {"sports ball": _ball, "vase": _vase}.items():
        mask = np.asarray(_canvas(shape, (0, 0, 0), (255, 255, 255)))[..., 0] > 127
        detection = Detection(name, 1.0, box_of(mask), mask)
        for colour in COLOURS:
            pixels = np.where(mask[..., None], light * _RGB[colour], _WALL).astype(np.uint8)
            found.append((Image.fromarray(pixels), detection, colour))
    return found


def _alone(name: str, image: Image.Image, box: Box) -> Picture:
    return Picture(name, image, [(name, box)], {"include": [{"class": name, "count": 1}]})


def _beside(name: str, target: Picture, other: Picture, relation: str | None) -> Picture:
    """Two photographs in one image, the other left of the target or above it, or, without a relation, anywhere."""
    first, second = other.image, target.image
    down = relation == "above"
    size = (
        (max(first.width, second.width), first.height + second.height)
        if down
        else (first.width + second.width, max(first.height, second.height))
    )
    shift = (0, first.height) if down else (first.width, 0)
    image = Image.new("RGB", size, _WALL)
    image.paste(first, (0, 0))
    image.paste(second, shift)
    ((of_first, box),), ((of_second, moved),) = other.things, target.things
    moved = (moved[0] + shift[0], moved[1] + shift[1], moved[2] + shift[0], moved[3] + shift[1])
    include: list[dict[str, Any]] = [{"class": of_second, "count": 1 if relation else 2}]
    if relation:
        include.append({"class": of_first, "count": 1, "position": [relation, 0]})
    return Picture(name, image, [(of_first, box), (of_second, moved)], {"include": include})


def _drawn(name: str, draw: Callable[[ImageDraw.ImageDraw], None]) -> Picture:
    image = _canvas(lambda canvas, _: draw(canvas), _WALL, (0, 0, 0))
    mask = (np.asarray(image).astype(int) != _WALL).any(axis=2)
    return _alone(name, image, box_of(mask))


def _canvas(draw: Callable[[ImageDraw.ImageDraw, Any], None], background: tuple, fill: tuple) -> Image.Image:
    """An image of 640 × 640 pixels; drawings are given in pixels of the finer one."""
    image = Image.new("RGB", (SIDE * _FINER, SIDE * _FINER), background)
    draw(ImageDraw.Draw(image), fill)
    return image.resize((SIDE, SIDE), Image.Resampling.BOX)


def _points(points: Sequence[Point]) -> list[Point]:
    return [(x * _FINER, y * _FINER) for x, y in points]


def _circle(canvas: ImageDraw.ImageDraw, x: float, y: float, radius: float, fill: tuple) -> None:
    canvas.ellipse(_points([(x - radius, y - radius), (x + radius, y + radius)]), fill=fill)


def _ring(x: float, y: float, radius: float, corners: int) -> list[Point]:
    """Corners of a regular polygon."""
    angles = [pi * (2 * corner + 1) / corners for corner in range(corners)]
    return [(x + radius * cos(angle), y + radius * sin(angle)) for angle in angles]


def _stop_sign(canvas: ImageDraw.ImageDraw) -> None:
    canvas.rectangle(_points([(308, 380), (332, 639)]), fill=(130, 130, 130))
    canvas.polygon(_points(_ring(320, 240, 190, 8)), fill=(250, 250, 250))
    canvas.polygon(_points(_ring(320, 240, 176, 8)), fill=(190, 20, 30))
    font = ImageFont.load_default(size=120 * _FINER)
    middle = (320 * _FINER, 240 * _FINER)
    canvas.text(middle, "STOP", fill=(250, 250, 250), font=font, anchor="mm", stroke_width=4 * _FINER)


def _clock(canvas: ImageDraw.ImageDraw) -> None:
    for radius, fill in ((210, (40, 35, 30)), (185, (250, 248, 240))):
        _circle(canvas, 320, 320, radius, fill)
    font = ImageFont.load_default(size=40 * _FINER)
    for hour in range(1, 13):
        x, y = 320 + 150 * sin(hour * pi / 6), 320 - 150 * cos(hour * pi / 6)
        canvas.text((x * _FINER, y * _FINER), str(hour), fill=(20, 20, 20), font=font, anchor="mm")
    for turn, length, width in ((10.15 / 12, 85, 14), (9 / 60, 130, 9)):
        tip = (320 + length * sin(2 * pi * turn), 320 - length * cos(2 * pi * turn))
        canvas.line(_points([(320, 320), tip]), fill=(20, 20, 20), width=width * _FINER)
    _circle(canvas, 320, 320, 14, (20, 20, 20))


def _traffic_light(canvas: ImageDraw.ImageDraw) -> None:
    canvas.rectangle(_points([(310, 480), (330, 639)]), fill=(70, 70, 70))
    canvas.rounded_rectangle(_points([(240, 70), (400, 490)]), radius=30 * _FINER, fill=(35, 38, 35))
    for y, fill in ((145, (230, 30, 30)), (280, (90, 75, 20)), (415, (20, 70, 35))):
        _circle(canvas, 320, y, 60, (15, 15, 15))
        _circle(canvas, 320, y, 52, fill)


def _donut(canvas: ImageDraw.ImageDraw) -> None:
    _circle(canvas, 320, 330, 200, (190, 125, 60))
    _circle(canvas, 320, 322, 182, (235, 120, 165))
    colours = list(_RGB.values())
    for sprinkle in range(60):
        angle, radius, turn = sprinkle * 2.4, 85 + sprinkle * 37 % 85, sprinkle * 1.7
        x, y = 320 + radius * cos(angle), 322 + radius * sin(angle)
        ends = [(x - 9 * cos(turn), y - 9 * sin(turn)), (x + 9 * cos(turn), y + 9 * sin(turn))]
        canvas.line(_points(ends), fill=colours[sprinkle % len(colours)], width=6 * _FINER)
    _circle(canvas, 320, 325, 66, (190, 125, 60))
    _circle(canvas, 320, 330, 56, _WALL)


def _umbrella(canvas: ImageDraw.ImageDraw) -> None:
    canvas.line(_points([(320, 90), (320, 520)]), fill=(60, 45, 35), width=12 * _FINER)
    canvas.arc(_points([(320, 485), (384, 555)]), 0, 180, fill=(60, 45, 35), width=12 * _FINER)
    canvas.pieslice(_points([(80, 110), (560, 590)]), 180, 360, fill=(190, 30, 40))
    for panel in range(4):
        left = 80 + 120 * panel
        canvas.pieslice(_points([(left, 320), (left + 120, 380)]), 180, 360, fill=_WALL)
        for x in (left, left + 120):
            canvas.line(_points([(320, 110), (x, 350)]), fill=(140, 15, 25), width=3 * _FINER)


def _tv(canvas: ImageDraw.ImageDraw) -> None:
    canvas.rectangle(_points([(80, 520), (560, 560)]), fill=(120, 80, 45))
    canvas.polygon(_points([(270, 520), (370, 520), (345, 470), (295, 470)]), fill=(25, 25, 25))
    canvas.rounded_rectangle(_points([(90, 170), (550, 475)]), radius=8 * _FINER, fill=(18, 18, 18))
    canvas.rectangle(_points([(104, 184), (536, 455)]), fill=(70, 130, 190))
    canvas.polygon(_points([(104, 455), (260, 290), (360, 390), (430, 330), (536, 455)]), fill=(60, 110, 60))


def _ball(canvas: ImageDraw.ImageDraw, fill: Any) -> None:
    _circle(canvas, 320, 320, 180, fill)


def _vase(canvas: ImageDraw.ImageDraw, fill: Any) -> None:
    canvas.ellipse(_points([(190, 250), (450, 560)]), fill=fill)
    canvas.polygon(_points([(270, 300), (370, 300), (350, 190), (400, 110), (240, 110), (290, 190)]), fill=fill)
    canvas.rectangle(_points([(250, 530), (390, 570)]), fill=fill)
