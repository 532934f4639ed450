"""How every figure looks: one palette, a marker and a line style per arm, and files that depend on the numbers alone.

The palette is Okabe and Ito's (2008), which colour-blind readers can tell apart. In grey, arms are told apart by marker
and line style.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from sgt.atomic import atomic_path
from sgt.reporting.contents import FIGURE_FORMATS

# It reports every step of embedding a font.
logging.getLogger("fontTools").setLevel(logging.WARNING)

DPI = 130
# Metadata that would differ between machines or runs, by format; None leaves it out.
_METADATA: dict[str, dict[str, str | None]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "legend.fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.5,
    "axes.linewidth": 0.7,
    # Ids in SVG files are hashes of what is drawn, with this salt, instead of random ones.
    "svg.hashsalt": "sgt",
    # Journals require embedded TrueType fonts; in SVG, text is paths, which look the same everywhere.
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    # Images in vector files keep their own pixels.
    "image.composite_image": False,
}
ZERO, REFERENCE, BAND = "#303030", "#8c8c8c", "#d9d9d9"
# Of names beside lines, points.
NAME_SIZE = 8


class Look(NamedTuple):
    """How an arm is drawn in every figure."""

    colour: str
    marker: str
    line: str | tuple


_DASHDOTDOT, _LONG = (0, (5, 1, 1, 1, 1, 1)), (0, (7, 2))
LOOKS = {
    "base": Look("#a8a8a8", "o", ":"),
    "sft": Look("#4d4d4d", "s", "--"),
    "sft-compute": Look("#000000", "D", (0, (1, 1))),
    "segmentation": Look("#d55e00", "^", "-"),
    "depth": Look("#e69f00", "v", _LONG),
    "edge": Look("#0072b2", "P", "-."),
    "reconstruction": Look("#56b4e9", "X", _DASHDOTDOT),
    "inpainting": Look("#009e73", "d", (0, (3, 1, 1, 1))),
}
# Of other arms, such as variants, in the order of the study.
OTHER_LOOKS = [
    Look(colour, marker, line)
    for marker, line in (("<", "-"), (">", "--"), ("p", "-."), ("h", ":"))
    for colour in ("#cc79a7", "#9a7b00", "#004f7a", "#7a3600")
]


def looks_of(arms: Sequence[str]) -> dict[str, Look]:
    """The look of each arm; those without one of their own take one in turn."""
    others = [arm for arm in arms if arm not in LOOKS]
    return {arm: LOOKS.get(arm) or OTHER_LOOKS[others.index(arm) % len(OTHER_LOOKS)] for arm in arms}


def points(
    axis: Axes, x: ArrayLike, y: ArrayLike, look: Look, hollow: bool = False, line: bool = False, **options: Any
) -> None:
    """Markers with their intervals (``xerr`` or ``yerr``), joined by a line if it is wanted.

    Args:
        axis: to draw on.
        x, y: of the markers.
        look: of the arm.
        hollow: the arm has a proxy that it did not learn.
        line: join them.
        options: of :meth:`~matplotlib.axes.Axes.errorbar`.
    """
    axis.errorbar(
        x,
        y,
        marker=look.marker,
        ls=look.line if line else "none",
        color=look.colour,
        mfc="white" if hollow else look.colour,
        mec=look.colour,
        elinewidth=1.1,
        **options,
    )


def handles(looks: dict[str, Look], line: bool = False) -> list[Artist]:
    """Entries of a legend, one per arm."""
    return [
        Line2D([], [], color=look.colour, marker=look.marker, ls=look.line if line else "none", label=arm)
        for arm, look in looks.items()
    ]


def save(figure: Figure, folder: Path, name: str, pixels: bool = True) -> None:
    """Write a figure in every format and close it. Where :data:`STYLE` is set, the same figure gives the same files.

    Args:
        figure: to write.
        folder: where the files are.
        name: of the files, without a suffix.
        pixels: as PNG, too.
    """
    _lay_out(figure)
    for suffix in (each for each in FIGURE_FORMATS if pixels or each != ".png"):
        with atomic_path(folder / f"{name}{suffix}") as temporary:
            figure.savefig(temporary, format=suffix[1:], dpi=DPI, metadata=_METADATA[suffix])
    plt.close(figure)


def _lay_out(figure: Figure) -> None:
    """Place the axes, once for all formats, at rounded coordinates.

    The solver's last digits change from call to call, and ids in SVG files are hashes of coordinates with all digits.
    """
    if engine := figure.get_layout_engine():
        engine.execute(figure)
        figure.set_layout_engine("none")
        for axis in figure.axes:
            left, bottom, width, height = axis.get_position().bounds
            axis.set_position((round(left, 6), round(bottom, 6), round(width, 6), round(height, 6)))


def label_ends(axis: Axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Write the name of each line beside its end, moved up or down where names would cover each other.

    Args:
        axis: whose limits are final.
        ends: x and y of each line's last point, its name, its colour.
    """
    low, high = axis.get_ylim()
    height = axis.get_window_extent().height / axis.figure.dpi * 72
    least = 1.2 * NAME_SIZE / height * (high - low)
    at = -float("inf")
    for x, y, name, colour in sorted(ends, key=lambda end: end[1]):
        at = max(y, at + least)
        offset = 6, (at - y) / (high - low) * height
        axis.annotate(
            name, (x, y), offset, textcoords="offset points", va="center", color=colour, size=NAME_SIZE,
            annotation_clip=False,
        )  # fmt: skip
