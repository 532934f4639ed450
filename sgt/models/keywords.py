"""Keywords of texts, and the tokens that they are made of."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Keyword:
    """A word of a text.

    Attributes:
        start, end: its characters, the end not included.
        kind: lower-case letters; no other name of a span.
    """

    start: int
    end: int
    kind: str


# The keywords of a text, which do not overlap.
KeywordFinder = Callable[[str], Iterable[Keyword]]


def token_names(name: str, text: str, ends: Iterable[int], find: KeywordFinder | None) -> list[str]:
    """The name of each token of a text: ``name``, or ``name.KIND`` if the token's last character is in a keyword.

    A token of a byte-level BPE begins with the blank before its word, so its end decides.

    Args:
        name: of the text.
        text: that was tokenised.
        ends: for each token the place after its last character.
        find: finds keywords; without it there are none.
    """
    kinds = character_kinds(text, find)
    return [f"{name}.{kind}" if (kind := kinds[max(end - 1, 0)]) else name for end in ends]


def character_kinds(text: str, find: KeywordFinder | None) -> Sequence[str | None]:
    """The kind of the keyword that each character of a text is in; None outside of keywords."""
    kinds: list[str | None] = [None] * len(text)
    for keyword in find(text) if find else ():
        kinds[keyword.start : keyword.end] = [keyword.kind] * (keyword.end - keyword.start)
    return kinds
