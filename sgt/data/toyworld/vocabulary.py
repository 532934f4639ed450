"""The closed vocabulary of captions, questions and answers: one token per word."""

SHAPES = ("ball", "cube", "cylinder", "cone")
COLOURS = ("red", "green", "blue", "yellow", "purple", "cyan")
SIZES = ("small", "large")
COLUMNS = ("left", "middle", "right")
ROWS = ("top", "middle", "bottom")
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
THING = "thing"
CAPTION_REQUEST = "describe the scene"

_GRAMMAR = (
    *("a", "the", "at", "is", "are", "there", "in", "of", "or", "to", "how", "many", "which", "what", "number"),
    *("above", "below", "closer", "nearer", "colour", "shape", "size", "column", "row"),
    *("plus", "minus", "even", "odd", "yes", "no", ",", "?"),
    *("make", "remove", "move"),
)


def plural(noun: str) -> str:
    """The plural of a shape or of ``thing``."""
    return f"{noun}s"


WORDS: tuple[str, ...] = tuple(
    dict.fromkeys(
        (
            *_GRAMMAR,
            *CAPTION_REQUEST.split(),
            *(form for noun in (*SHAPES, THING) for form in (noun, plural(noun))),
            *COLOURS,
            *SIZES,
            *COLUMNS,
            *ROWS,
            *NUMBERS,
        )
    )
)
