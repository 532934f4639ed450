"""Text in columns for a terminal."""

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]], indent: str = "") -> str:
    """Rows as lines, each column but the last as wide as its widest cell.

    Args:
        rows: of the same number of cells.
        indent: before each line.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join(indent + line for line in lines)
