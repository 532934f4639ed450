"""Keywords of prompts by kind: the words for objects, colours and positions, and other words that carry meaning."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from sgt.models.keywords import Keyword

Kind = Literal["object", "colour", "position"]
OTHER = "other"
# Words of the built-in scenes, and the commonest ones besides.
KINDS: dict[Kind, list[str]] = {
    "object": ["ball", "cube", "cylinder", "cone", "thing"],
    "colour": [
        "red", "green", "blue", "yellow", "purple", "cyan", "black", "white", "grey", "gray", "orange", "brown", "pink",
    ],
    "position": [
        "left", "right", "middle", "top", "bottom", "above", "below", "under", "behind", "beside", "between", "centre",
        "center", "front", "inside", "next",
    ],
}  # fmt: skip
# As in the released code, a keyword has more than two letters and is none of the words without meaning of their own.
SHORTEST = 3
STOP_WORDS = frozenset(
    (
        "and", "are", "but", "for", "from", "has", "have", "her", "his", "its", "not", "one", "that", "the", "their",
        "there", "these", "this", "those", "was", "were", "with", "you",
    )
)  # fmt: skip
WORD = re.compile(r"[^\W\d_]+")


class KeywordKinds:
    """Finds the keywords of a text.

    Args:
        kinds: words in the singular by kind; a final ``s`` makes no difference.
    """

    def __init__(self, kinds: Mapping[Kind, Sequence[str]]) -> None:
        self._kind_of = {form: kind for kind, words in kinds.items() for word in words for form in (word, f"{word}s")}

    def __call__(self, text: str) -> Iterator[Keyword]:
        """See :data:`sgt.models.keywords.KeywordFinder`."""
        for found in WORD.finditer(text):
            word = found.group().lower()
            kind = self._kind_of.get(word)
            if kind or (len(word) >= SHORTEST and word not in STOP_WORDS):
                yield Keyword(*found.span(), kind or OTHER)
