"""Questions about a scene, with exact answers.

Each kind draws one variant (which axis, which answer) and lists all questions of that variant whose answer is
unambiguous in the scene; the caller picks one that it does not have yet. Drawing the answer before the question
balances the answers.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations

from sgt.data.toyworld.view import Seen
from sgt.data.toyworld.vocabulary import COLOURS, COLUMNS, NUMBERS, ROWS, SHAPES, SIZES, THING, plural

# Margins below which a question is ambiguous and left out. Image margins are fractions of the side: of 48 pixels.
RELATION_MARGIN = 5 / 48
BORDER_MARGIN = 1.5 / 48
DEPTH_MARGIN = 0.6
DISTANCE_MARGIN, DISTANCE_RATIO = 0.5, 1.25

MIN_QUESTIONS, MAX_QUESTIONS = 12, 16
_OPERANDS = range(1, 6)
_YES_NO = ("yes", "no")


@dataclass(frozen=True)
class Question:
    """A question with its only correct answer, which is among ``options``."""

    kind: str
    question: str
    answer: str
    options: tuple[str, ...]


def draw_questions(view: Sequence[Seen], rng: random.Random) -> list[Question]:
    """12 to 16 different questions in random order, of every kind that has an unambiguous answer in the scene.

    Args:
        view: the two to five things as seen.
        rng: source of all choices.
    """
    total = rng.randint(MIN_QUESTIONS, MAX_QUESTIONS)
    kinds = [*KINDS, *rng.sample(list(KINDS), total - len(KINDS))]
    drawn: dict[str, Question] = {}
    for kind in kinds:
        _draw_one(kind, view, rng, drawn)
    while len(drawn) < total:
        _draw_one(rng.choice(_ALWAYS_POSSIBLE), view, rng, drawn)
    questions = list(drawn.values())
    rng.shuffle(questions)
    return questions


def _draw_one(kind: str, view: Sequence[Seen], rng: random.Random, drawn: dict[str, Question]) -> None:
    """Add a question of a kind to those drawn, unless four attempts find no new one."""
    for _ in range(4):
        fresh = [draft for draft in KINDS[kind](view, rng) if draft[0] not in drawn]
        if fresh:
            text, answer, options = rng.choice(fresh)
            drawn[text] = Question(kind, text, answer, tuple(options))
            return


Draft = tuple[str, str, Sequence[str]]


def _classes(view: Sequence[Seen]) -> dict[int, list[str]]:
    """Noun phrases in the plural for the countable classes, by the number of things in each class."""
    things = [seen.thing for seen in view]
    counts = {plural(THING): len(things)}
    counts |= {plural(shape): sum(thing.shape == shape for thing in things) for shape in SHAPES}
    counts |= {f"{colour} {plural(THING)}": sum(thing.colour == colour for thing in things) for colour in COLOURS}
    counts |= {f"{size} {plural(THING)}": sum(thing.size == size for thing in things) for size in SIZES}
    by_count: dict[int, list[str]] = {}
    for noun, count in counts.items():
        by_count.setdefault(count, []).append(noun)
    return by_count


def _count(view: Sequence[Seen], rng: random.Random) -> list[Draft]:
    count, nouns = rng.choice(sorted(_classes(view).items()))
    return [(f"how many {noun} are there ?", NUMBERS[count], NUMBERS[:6]) for noun in nouns]


def _arithmetic(view: Sequence[Seen], rng: random.Random) -> list[Draft]:
    count, nouns = rng.choice(sorted(_classes(view).items()))
    operation = rng.choice(("plus", "minus")) if count else "plus"
    operand = rng.choice([number for number in _OPERANDS if operation == "plus" or number <= count])
    result = count + operand if operation == "plus" else count - operand
    return [(f"how many {noun} {operation} {NUMBERS[operand]} ?", NUMBERS[result], NUMBERS) for noun in nouns]


def _parity(view: Sequence[Seen], rng: random.Random) -> list[Draft]:
    count, nouns = rng.choice([item for item in sorted(_classes(view).items()) if item[0]])
    answer = rng.choice(_YES_NO)
    parity = "even" if (count % 2 == 0) == (answer == "yes") else "odd"
    return [(f"is the number of {noun} {parity} ?", answer, _YES_NO) for noun in nouns]


def _existence(view: Sequence[Seen], rng: random.Random) -> list[Draft]:
    answer = rng.choice(_YES_NO)
    present = {(seen.thing.colour, seen.thing.shape) for seen in view}
    colours, shapes = {colour for colour, _ in present}, {shape for _, shape in present}
    # A question about an absent pair needs its colour or its shape to be present.
    plausible = [(c, s) for c in COLOURS for s in SHAPES if (c in colours or s in shapes) and (c, s) not in present]
    pairs = [seen.name.split() for seen in view] if answer == "yes" else plausible
    return [(f"is there a {colour} {shape} ?", answer, _YES_NO) for colour, shape in pairs]


def _relation(view: Sequence[Seen], rng: random.Random) -> list[Draft]:
    horizontal = rng.random() < 0.5
    less, more = ("left", "right") if horizontal else ("above", "below")
    of = " of" if horizontal else ""
    drafts: list[Draft] = []
    for one, other in permutations(view, 2):
        shift = one.u - other.u if horizontal else one.v - other.v
        if abs(shift) >= RELATION_MARGIN:
            text = f"is the {one.name} {less} or {more}{of} the {other.name} ?"
            drafts.append((text, less if shift < 0 else more, (less, more)))
    return drafts


def _depth_order(view: Sequence[Seen], rng: random.Random) -> list[Draft]:
    drafts: list[Draft] = []
    for one, other in permutations(view, 2):
        colours = one.thing.colour, other.thing.colour
        if colours[0] != colours[1] and abs(one.depth - other.depth) >= DEPTH_MARGIN:
            closer = min(one, other, key=lambda seen: seen.depth)
            text = f"which is closer , the {one.name} or the {other.name} ?"
            drafts.append((text, closer.thing.colour, colours))
    return drafts


def _distance(view: Sequence[Seen], rng: random.Random) -> list[Draft]:
    drafts: list[Draft] = []
    for anchor, one, other in permutations(view, 3):
        colours = one.thing.colour, other.thing.colour
        near, far = sorted((math.dist(anchor.centre, seen.centre), seen.thing.colour) for seen in (one, other))
        clear = far[0] - near[0] >= DISTANCE_MARGIN and far[0] >= DISTANCE_RATIO * near[0]
        if colours[0] != colours[1] and clear:
            text = f"which is nearer to the {anchor.name} , the {one.name} or the {other.name} ?"
            drafts.append((text, near[1], colours))
    return drafts


def _attribute(view: Sequence[Seen], rng: random.Random) -> list[Draft]:
    attribute = rng.choice(("colour", "shape", "size"))
    if attribute == "size":
        return _one_answer([(f"what size is the {seen.name} ?", seen.thing.size, SIZES) for seen in view], rng)
    options = COLOURS if attribute == "colour" else SHAPES
    phrases = [(phrase, getattr(seen.thing, attribute)) for seen in view for phrase in _descriptions(seen, attribute)]
    named = [phrase for phrase, _ in phrases]
    return [
        (f"what {attribute} is the {phrase} ?", answer, options)
        for phrase, answer in phrases
        if named.count(phrase) == 1
    ]


def _descriptions(seen: Seen, hidden: str) -> tuple[str, str]:
    """Two noun phrases for a thing that do not contain its colour (or its shape)."""
    noun = seen.thing.shape if hidden == "colour" else f"{seen.thing.colour} {THING}"
    return noun, f"{seen.thing.size} {noun}"


def _location(view: Sequence[Seen], rng: random.Random) -> list[Draft]:
    axis = rng.choice(("column", "row"))
    options = COLUMNS if axis == "column" else ROWS
    drafts: list[Draft] = []
    for seen in view:
        place = seen.u if axis == "column" else seen.v
        if min(abs(place - 1 / 3), abs(place - 2 / 3)) >= BORDER_MARGIN:
            drafts.append((f"which {axis} is the {seen.name} in ?", getattr(seen, axis), options))
    return _one_answer(drafts, rng)


def _one_answer(drafts: list[Draft], rng: random.Random) -> list[Draft]:
    """The drafts with one answer, which is drawn from all answers."""
    chosen = rng.choice(sorted({answer for _, answer, _ in drafts}) or [""])
    return [draft for draft in drafts if draft[1] == chosen]


KINDS: dict[str, Callable[[Sequence[Seen], random.Random], list[Draft]]] = {
    "count": _count,
    "existence": _existence,
    "relation": _relation,
    "depth_order": _depth_order,
    "distance": _distance,
    "attribute": _attribute,
    "location": _location,
    "arithmetic": _arithmetic,
    "parity": _parity,
}
_ALWAYS_POSSIBLE = ("count", "arithmetic", "parity")
