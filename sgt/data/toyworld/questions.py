"""Questions about a scene, with exact answers.

There is a question for every attribute of every thing, and one of each other kind. A kind draws one variant (which
answer) and lists all questions of that variant whose answer is unambiguous in the scene, of which one is drawn.
Drawing the answer before the question balances the answers.

Arithmetic and parity are reasoning about a number that has to be seen first: each such question names its *twin*, the
question for that number alone, so that reasoning can be scored where the number is seen.
"""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import permutations

from sgt.data.toyworld.view import Seen, is_near_border
from sgt.data.toyworld.vocabulary import COLOURS, COLUMNS, NUMBERS, ROWS, SHAPES, SIZES, THING, plural

# Margins below which a question is ambiguous and left out. Image margins are fractions of the side: of 48 pixels.
RELATION_MARGIN = 5 / 48
DEPTH_MARGIN = 0.6
DISTANCE_MARGIN, DISTANCE_RATIO = 0.5, 1.25

_OPERANDS = range(1, 6)
_YES_NO = ("yes", "no")


@dataclass(frozen=True)
class Question:
    """A question with its only correct answer, which is among ``options``.

    Attributes:
        twin: text of the question for the number that this one reasons about; None if it does not.
    """

    kind: str
    question: str
    answer: str
    options: tuple[str, ...]
    twin: str | None = None


def draw_questions(view: Sequence[Seen], rng: random.Random) -> list[Question]:
    """Different questions in random order, of every kind that has an unambiguous answer in the scene.

    Args:
        view: the things as seen.
        rng: source of all choices.
    """
    drawn: dict[str, Question] = {}
    for kind, drafts_of in ATTRIBUTES.items():
        for seen in view:
            _draw_one(kind, partial(drafts_of, seen, view), drawn, rng)
    for kind, variant in VARIANTS.items():
        _draw_one(kind, partial(variant, view, rng), drawn, rng)
    drawn |= {question.question: question for question in _number_questions(view, rng)}
    questions = list(drawn.values())
    rng.shuffle(questions)
    return questions


def _draw_one(
    kind: str, drafts: Callable[[], Sequence["Draft"]], drawn: dict[str, Question], rng: random.Random
) -> None:
    """Add a question of a kind to those drawn, unless four attempts find no new one."""
    for _ in range(4):
        fresh = [draft for draft in drafts() if draft[0] not in drawn]
        if fresh:
            text, answer, options = rng.choice(fresh)
            drawn[text] = Question(kind, text, answer, tuple(options))
            return


Draft = tuple[str, str, Sequence[str]]


def _number_questions(view: Sequence[Seen], rng: random.Random) -> Iterator[Question]:
    """How many things of one class there are, and a sum and the parity of that number; zero has no parity here."""
    count, nouns = rng.choice(sorted(_classes(view).items()))
    noun = rng.choice(nouns)
    how_many = f"how many {noun} are there ?"
    yield Question("count", how_many, NUMBERS[count], NUMBERS[:6])
    operation = rng.choice(("plus", "minus")) if count else "plus"
    operand = rng.choice([number for number in _OPERANDS if operation == "plus" or number <= count])
    result = count + operand if operation == "plus" else count - operand
    text = f"how many {noun} {operation} {NUMBERS[operand]} ?"
    yield Question("arithmetic", text, NUMBERS[result], NUMBERS, twin=how_many)
    if count:
        answer = rng.choice(_YES_NO)
        parity = "even" if (count % 2 == 0) == (answer == "yes") else "odd"
        yield Question("parity", f"is the number of {noun} {parity} ?", answer, _YES_NO, twin=how_many)


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


def _existence(view: Sequence[Seen], rng: random.Random) -> list[Draft]:
    answer = rng.choice(_YES_NO)
    present = {(seen.thing.colour, seen.thing.shape) for seen in view}
    colours, shapes = {colour for colour, _ in present}, {shape for _, shape in present}
    # A question about an absent pair needs its colour or its shape to be present.
    plausible = [(c, s) for c in COLOURS for s in SHAPES if (c in colours or s in shapes) and (c, s) not in present]
    pairs = [seen.name.split() for seen in view] if answer == "yes" else plausible
    return [(f"is there a {colour} {shape} ?", answer, _YES_NO) for colour, shape in pairs]


def _left_right(view: Sequence[Seen], rng: random.Random) -> list[Draft]:
    return _relation(view, ("left", "right"), " of", lambda seen: seen.u)


def _above_below(view: Sequence[Seen], rng: random.Random) -> list[Draft]:
    return _relation(view, ("above", "below"), "", lambda seen: seen.v)


def _relation(view: Sequence[Seen], options: tuple[str, str], of: str, place: Callable[[Seen], float]) -> list[Draft]:
    less, more = options
    drafts: list[Draft] = []
    for one, other in permutations(view, 2):
        shift = place(one) - place(other)
        if abs(shift) >= RELATION_MARGIN:
            text = f"is the {one.name} {less} or {more}{of} the {other.name} ?"
            drafts.append((text, less if shift < 0 else more, options))
    return drafts


def _depth_order(view: Sequence[Seen], rng: random.Random) -> list[Draft]:
    # Whether the closer thing is the lower one in the image, as it mostly is where things stand on the ground.
    lower = rng.random() < 0.5
    drafts: list[Draft] = []
    for one, other in permutations(view, 2):
        colours = one.thing.colour, other.thing.colour
        if colours[0] != colours[1] and abs(one.depth - other.depth) >= DEPTH_MARGIN:
            closer, farther = sorted((one, other), key=lambda seen: seen.depth)
            if (closer.v > farther.v) == lower:
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


def _column(view: Sequence[Seen], rng: random.Random) -> list[Draft]:
    drafts: list[Draft] = [
        (f"which column is the {seen.name} in ?", seen.column, COLUMNS) for seen in view if not is_near_border(seen.u)
    ]
    return _one_answer(drafts, rng)


def _row(view: Sequence[Seen], rng: random.Random) -> list[Draft]:
    drafts: list[Draft] = [
        (f"which row is the {seen.name} in ?", seen.row, ROWS) for seen in view if not is_near_border(seen.v)
    ]
    return _one_answer(drafts, rng)


def _one_answer(drafts: list[Draft], rng: random.Random) -> list[Draft]:
    """The drafts with one answer, which is drawn from all answers."""
    chosen = rng.choice(sorted({answer for _, answer, _ in drafts}) or [""])
    return [draft for draft in drafts if draft[1] == chosen]


def _colour(seen: Seen, view: Sequence[Seen]) -> list[Draft]:
    alike = [other for other in view if other.thing.shape == seen.thing.shape]
    return [
        (f"what colour is the {phrase} ?", seen.thing.colour, COLOURS)
        for phrase in _descriptions(seen, alike, seen.thing.shape)
    ]


def _shape(seen: Seen, view: Sequence[Seen]) -> list[Draft]:
    alike = [other for other in view if other.thing.colour == seen.thing.colour]
    return [
        (f"what shape is the {phrase} ?", seen.thing.shape, SHAPES)
        for phrase in _descriptions(seen, alike, f"{seen.thing.colour} {THING}")
    ]


def _size(seen: Seen, view: Sequence[Seen]) -> list[Draft]:
    return [(f"what size is the {seen.name} ?", seen.thing.size, SIZES)]


def _descriptions(seen: Seen, alike: Sequence[Seen], noun: str) -> list[str]:
    """Phrases for one of the things that are alike (one noun fits them all): the noun alone, with its size or place."""
    phrases = [noun] if len(alike) == 1 else []
    if sum(other.thing.size == seen.thing.size for other in alike) == 1:
        phrases.append(f"{seen.thing.size} {noun}")
    clear = not any(is_near_border(other.u) or is_near_border(other.v) for other in alike)
    if clear and sum((other.column, other.row) == (seen.column, seen.row) for other in alike) == 1:
        phrases.append(f"{noun} at {seen.column} {seen.row}")
    return phrases


# From a thing and all things to all questions for that attribute of the thing.
ATTRIBUTES: dict[str, Callable[[Seen, Sequence[Seen]], list[Draft]]] = {
    "colour": _colour,
    "shape": _shape,
    "size": _size,
}
# From all things to all questions of one variant, which is drawn.
VARIANTS: dict[str, Callable[[Sequence[Seen], random.Random], list[Draft]]] = {
    "existence": _existence,
    "left_right": _left_right,
    "above_below": _above_below,
    "depth_order": _depth_order,
    "distance": _distance,
    "column": _column,
    "row": _row,
}
KINDS = (*ATTRIBUTES, "count", *VARIANTS, "arithmetic", "parity")
