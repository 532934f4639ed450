"""Texts in LaTeX, and how wide they will be, so that tables can be made to fit before anything is compiled."""

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import matplotlib
from matplotlib.ft2font import FT2Font, LoadFlags

# Points of LaTeX's footnotesize in a document of 10 points.
SIZE = 8.0
# Computer Modern at 8 points is so much wider than its design for 10 points scaled to 8, and its bold so much more.
SMALL, BOLD = 1.0625, 1.16
_ESCAPED = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "±": r"$\pm$",
    "−": "$-$",
    "≈": r"$\approx$",
    "×": r"$\times$",
    "²": "$^2$",
    "†": r"\dag{}",
    "–": "--",
    "…": r"\dots{}",
    "“": "``",
    "”": "''",
}


class Line(NamedTuple):
    """A line of a cell."""

    text: str
    bold: bool = False


def paragraph(text: str) -> str:
    """A text with LaTeX's own characters escaped."""
    return "".join(_ESCAPED.get(character, character) for character in text)


def shortstack(lines: Sequence[Line]) -> str:
    """The lines of a cell, one above the other."""
    texts = [rf"\textbf{{{paragraph(line.text)}}}" if line.bold else paragraph(line.text) for line in lines]
    broken = r"\\".join(texts)
    return broken if len(texts) == 1 else rf"\shortstack[r]{{{broken}}}"


def widest(lines: Iterable[Line]) -> float:
    """The width of the widest line, in points."""
    return max((width_of(line) for line in lines), default=0.0)


def width_of(line: Line) -> float:
    """The width of a line in footnotesize, in points, by the widths of Computer Modern's letters."""
    width = sum(map(_advance, line.text)) * SMALL
    return width * BOLD if line.bold else width


@cache
def _font() -> FT2Font:
    font = FT2Font(str(Path(matplotlib.get_data_path()) / "fonts/ttf/cmr10.ttf"))
    font.set_size(SIZE, 72)
    return font


@cache
def _advance(character: str) -> float:
    """How far a letter moves on, in points; one that the font lacks counts as wide as its widest signs."""
    if not character.isascii() or not _font().get_char_index(ord(character)):
        return SIZE
    return _font().load_char(ord(character), LoadFlags.NO_HINTING).linearHoriAdvance / 65536
