"""The caption of a scene: a prompt for generating it, and the answer to ``describe the scene``."""

from collections.abc import Sequence

from sgt.data.toyworld.view import Seen
from sgt.data.toyworld.vocabulary import COLUMNS


def caption(view: Sequence[Seen]) -> str:
    """A caption of every thing with its location, by column from left to right, and from near to far within a column.

    ``a large red ball at left bottom , a small blue cube at middle top``
    """
    ordered = sorted(view, key=lambda seen: (COLUMNS.index(seen.column), seen.depth))
    return " , ".join(f"a {seen.thing.size} {seen.name} at {seen.column} {seen.row}" for seen in ordered)
