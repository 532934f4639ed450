"""What the tests know of a scene, worked out from the label map and the geometry alone."""

import math
import re

import numpy as np

from sgt.data.toyworld.scene import RADII, Scene
from sgt.data.toyworld.solids import SOLIDS
from sgt.data.toyworld.vocabulary import NUMBERS

# Of 48 pixels: how far from the border between two columns or rows a thing must be for its place to be clear.
CLEAR = 1.5


def described(scene: Scene, labels: np.ndarray) -> dict[str, dict]:
    """Each thing of a scene of 48 pixels, by its name."""
    axis = np.array([0, math.cos(scene.camera.pitch), -math.sin(scene.camera.pitch)])
    known = {}
    for number, thing in enumerate(scene.things, start=1):
        rows, columns = np.nonzero(labels == number)
        x, y = columns.mean() + 0.5, rows.mean() + 0.5
        centre = np.array([thing.x, thing.y, thing.z + RADII[thing.size] * SOLIDS[thing.shape].height / 2])
        known[f"{thing.colour} {thing.shape}"] = {
            "thing": thing,
            "x": x,
            "y": y,
            "column": "left" if x < 16 else "middle" if x < 32 else "right",
            "row": "top" if y < 16 else "middle" if y < 32 else "bottom",
            "clear": min(abs(place - border) for place in (x, y) for border in (16, 32)) >= CLEAR - 1e-6,
            "centre": centre,
            "depth": float((centre - scene.camera.position) @ axis),
        }
    return known


def count_of(noun: str, known: dict[str, dict]) -> int:
    """How many things a plural noun phrase stands for."""
    words = [word.removesuffix("s") for word in noun.split()]
    looks = [{"thing", *name.split(), item["thing"].size} for name, item in known.items()]
    return sum(all(word in look for word in words) for look in looks)


def derived_answer(kind: str, text: str, known: dict[str, dict]) -> str:
    """The answer to a question, parsed from its text."""
    pair = r"(\w+ \w+)"
    if kind == "count":
        return NUMBERS[count_of(re.fullmatch(r"how many ([\w ]+) are there \?", text)[1], known)]
    if kind == "arithmetic":
        noun, operation, operand = re.fullmatch(r"how many ([\w ]+) (plus|minus) (\w+) \?", text).groups()
        result = count_of(noun, known) + (1 if operation == "plus" else -1) * NUMBERS.index(operand)
        assert result >= 0
        return NUMBERS[result]
    if kind == "parity":
        noun, parity = re.fullmatch(r"is the number of ([\w ]+) (even|odd) \?", text).groups()
        return "yes" if count_of(noun, known) % 2 == ("even", "odd").index(parity) else "no"
    if kind == "existence":
        return "yes" if re.fullmatch(rf"is there a {pair} \?", text)[1] in known else "no"
    if kind in ("left_right", "above_below"):
        relation = "left or right of" if kind == "left_right" else "above or below"
        one, other = re.fullmatch(rf"is the {pair} {relation} the {pair} \?", text).groups()
        axis, answers = ("x", ("left", "right")) if kind == "left_right" else ("y", ("above", "below"))
        shift = known[one][axis] - known[other][axis]
        assert abs(shift) >= 5 - 1e-6
        return answers[int(shift > 0)]
    if kind == "depth_order":
        one, other = re.fullmatch(rf"which is closer , the {pair} or the {pair} \?", text).groups()
        assert abs(known[one]["depth"] - known[other]["depth"]) > 0.5
        return min(one, other, key=lambda name: known[name]["depth"]).split()[0]
    if kind == "distance":
        pattern = rf"which is nearer to the {pair} , the {pair} or the {pair} \?"
        anchor, *others = re.fullmatch(pattern, text).groups()
        gaps = [float(np.linalg.norm(known[name]["centre"] - known[anchor]["centre"])) for name in others]
        assert max(gaps) > 1.2 * min(gaps)
        return others[gaps.index(min(gaps))].split()[0]
    if kind in ("column", "row"):
        name = re.fullmatch(rf"which {kind} is the {pair} in \?", text)[1]
        place = known[name]["x" if kind == "column" else "y"]
        assert min(abs(place - 16), abs(place - 32)) >= CLEAR - 1e-6
        return known[name][kind]
    name = thing_of(kind, text, known)
    return getattr(known[name]["thing"], kind)


def thing_of(kind: str, text: str, known: dict[str, dict]) -> str:
    """The name of the only thing that a question for an attribute can be about."""
    pattern = rf"what {kind} is the ([\w ]+?)(?: at (left|middle|right) (top|middle|bottom))? \?"
    phrase, *place = re.fullmatch(pattern, text).groups()
    fits = [name for name, item in known.items() if set(phrase.split()) <= look_of(item)]
    assert getattr(known[fits[0]]["thing"], kind) not in phrase.split()
    if place[0]:
        # Nothing that the phrase fits may be where its place is not clear.
        assert all(known[name]["clear"] for name in fits)
        fits = [name for name in fits if [known[name]["column"], known[name]["row"]] == place]
    (name,) = fits
    return name


def look_of(item: dict) -> set[str]:
    """The words that a thing can be called by."""
    return {"thing", item["thing"].colour, item["thing"].shape, item["thing"].size}


def can_be_described(kind: str, name: str, known: dict[str, dict]) -> bool:
    """Whether a thing can be told apart without the attribute that is asked for."""
    if kind == "size":
        return True
    other = "shape" if kind == "colour" else "colour"
    word = getattr(known[name]["thing"], other)
    alike = {each: item for each, item in known.items() if getattr(item["thing"], other) == word}
    sizes = [item["thing"].size for item in alike.values()]
    places = [(item["column"], item["row"]) for item in alike.values()]
    of_own_size = sizes.count(known[name]["thing"].size) == 1
    in_own_place = places.count((known[name]["column"], known[name]["row"])) == 1
    return of_own_size or (in_own_place and all(item["clear"] for item in alike.values()))
