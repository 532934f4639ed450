"""Tables as people read them, as Markdown, HTML and LaTeX: texts of one line or several, in groups of rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from html import escape

import pandas as pd

from sgt.reporting.latex import Line, paragraph, shortstack, widest

# Points that a table may be wide: the text of a page of Springer's LNCS, the narrowest that such a paper is set in.
PAGE = 347.0
# Points between columns, on each side.
SEPARATION = 3.0
# Lines of text after which a table is one that may go on over several pages.
TALL = 42

Lines = Sequence[Line]


@dataclass(frozen=True)
class Grid:
    """A table of texts.

    Attributes:
        caption: what it shows.
        head: of each column.
        groups: rows by the title of their group; without a title, empty.
        keys: how many columns, from the first, name the rows. They are repeated where a table is too wide for a page
            and its columns are set in several parts.
        notes: what stands below, a paragraph each.
    """

    caption: str
    head: list[Lines]
    groups: dict[str, list[list[Lines]]] = field(default_factory=dict)
    keys: int = 1
    notes: Sequence[str] = ()

    def rows(self) -> Iterator[list[Lines]]:
        """Those of all groups."""
        for rows in self.groups.values():
            yield from rows

    def widths(self) -> list[float]:
        """Of each column with the space around it, in points of LaTeX's footnotesize."""
        columns = zip(self.head, *self.rows(), strict=True)
        return [widest(line for cell in column for line in cell) + 2 * SEPARATION for column in columns]

    def fitting(self, page: float = PAGE) -> list["Grid"]:
        """Itself, or parts of its columns that each fit a page. A single column is never divided."""
        widths = self.widths()
        keys = sum(widths[: self.keys])
        parts: list[list[int]] = [[]]
        for column in range(self.keys, len(widths)):
            if parts[-1] and keys + sum(widths[each] for each in parts[-1]) + widths[column] > page:
                parts.append([])
            parts[-1].append(column)
        return [self._of_columns([*range(self.keys), *part]) for part in parts]

    def _of_columns(self, columns: Sequence[int]) -> "Grid":
        groups = {title: [[row[each] for each in columns] for row in rows] for title, rows in self.groups.items()}
        return replace(self, head=[self.head[each] for each in columns], groups=groups)


def frame_grid(frame: pd.DataFrame, caption: str, note: str, group: Sequence[str], keys: int) -> Grid:
    """A grid of a table of texts.

    Args:
        frame: the texts; those of several lines are divided by ``<br>``.
        caption, note: what it shows, and what stands below.
        group: columns whose values are the title of a group.
        keys: of the other columns, how many name the rows.
    """
    columns = [name for name in frame.columns if name not in group]
    groups: dict[str, list[list[Lines]]] = {}
    title = ""
    for _, row in frame.iterrows():
        # A row that leaves out what its group is, is of the one before.
        title = " ".join(str(row[name]) for name in group if row[name]) or title
        cells: list[Lines] = [[Line(part) for part in str(row[name]).split("<br>")] for name in columns]
        groups.setdefault(title, []).append(cells)
    return Grid(caption, [[Line(name)] for name in columns], groups, keys, [note])


def markdown(grid: Grid) -> str:
    """GitHub's Markdown; the title of a group has a row of its own."""

    def row(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cells)} |"

    def text(cell: Lines) -> str:
        lines = [line.text.replace("|", "\\|") for line in cell]
        return "<br>".join(f"**{each}**" if line.bold else each for line, each in zip(cell, lines, strict=True))

    lines = [row([text(cell) for cell in grid.head]), row(["---"] * len(grid.head))]
    for title, rows in grid.groups.items():
        lines += [row([f"*{title}*", *[""] * (len(grid.head) - 1)])] if title else []
        lines += [row([text(cell) for cell in cells]) for cells in rows]
    return "\n\n".join([f"**{grid.caption}**", "\n".join(lines), *grid.notes]) + "\n"


def html_table(grid: Grid) -> str:
    """A ``<table>`` with its caption, without what stands below."""

    def text(cell: Lines) -> str:
        lines = [escape(line.text) for line in cell]
        return "<br>".join(f"<b>{each}</b>" if line.bold else each for line, each in zip(cell, lines, strict=True))

    def row(cells: Sequence[Lines], of_body: bool) -> str:
        texts = []
        for place, cell in enumerate(cells):
            key = place < grid.keys
            name = "th" if key or not of_body else "td"
            kind = " ".join(
                [*(["text"] if key else []), *(["stick"] if place == 0 else []), *(["number"] if of_body else [])]
            )
            texts.append(f'<{name} class="{kind}">{text(cell)}</{name}>' if kind else f"<{name}>{text(cell)}</{name}>")
        return f"<tr>{''.join(texts)}</tr>"

    parts = [f"<table>\n<caption>{escape(grid.caption)}</caption>", f"<thead>{row(grid.head, of_body=False)}</thead>"]
    for title, rows in grid.groups.items():
        parts.append("<tbody>")
        if title:
            head = f'<th class="text stick" colspan="{len(grid.head)}" scope="rowgroup">{escape(title)}</th>'
            parts.append(f"<tr>{head}</tr>")
        parts += [row(cells, of_body=True) for cells in rows]
        parts.append("</tbody>")
    return "\n".join([*parts, "</table>"])


def html_page(grid: Grid) -> str:
    """A page with the table alone."""
    notes = "\n".join(f"<p>{escape(note)}</p>" for note in grid.notes)
    style = "body{font:14px/1.4 sans-serif}table{border-collapse:collapse}th,td{padding:.2em .6em;text-align:right}"
    style += "caption,.text{text-align:left}thead{border-bottom:1px solid}tbody{border-bottom:1px solid #ccc}"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(grid.caption)}</title>'
        f"<style>{style}</style></head>\n<body>\n{html_table(grid)}\n{notes}\n</body></html>\n"
    )


def latex(grid: Grid, label: str) -> str:
    """Booktabs tables that fit a page, floats or, if they are tall, ``longtable`` over several pages.

    Args:
        grid: the table.
        label: to refer to it by.
    """
    parts = grid.fitting()
    height = sum(max(map(len, row)) for row in grid.rows()) + 2 * len(grid.groups)
    write = _longtable if height * len(parts) > TALL else _float
    lines = [r"% needs \usepackage{booktabs,longtable}", *write(grid, parts, label)]
    return "\n".join([*lines, ""])


def _float(grid: Grid, parts: Sequence[Grid], label: str) -> Iterator[str]:
    yield rf"\begin{{table}}[tp]\centering\footnotesize\setlength{{\tabcolsep}}{{{SEPARATION:g}pt}}"
    yield rf"\caption{{{paragraph(grid.caption)}}}\label{{tab:{label}}}"
    for number, part in enumerate(parts):
        if number:
            yield r"\par\medskip"
        yield rf"\begin{{tabular}}{{{_columns(part)}}}"
        yield r"\toprule"
        yield _row(part.head)
        yield from _body(part)
        yield r"\bottomrule"
        yield r"\end{tabular}"
    yield from (rf"\par\smallskip{{\scriptsize {paragraph(note)}\par}}" for note in grid.notes)
    yield r"\end{table}"


def _longtable(grid: Grid, parts: Sequence[Grid], label: str) -> Iterator[str]:
    yield rf"{{\footnotesize\setlength{{\tabcolsep}}{{{SEPARATION:g}pt}}"
    for number, part in enumerate(parts):
        yield rf"\begin{{longtable}}{{{_columns(part)}}}"
        of_parts = f" ({number + 1} of {len(parts)})" if len(parts) > 1 else ""
        named = rf"\label{{tab:{label}}}" if number == 0 else ""
        yield rf"\caption{{{paragraph(grid.caption + of_parts)}}}{named}\\"
        head = [r"\toprule", _row(part.head)]
        yield from [*head, r"\endfirsthead", *head, r"\midrule", r"\endhead", r"\bottomrule", r"\endfoot"]
        yield from _body(part)
        yield r"\end{longtable}"
    yield from (rf"\par{{\scriptsize {paragraph(note)}\par}}" for note in grid.notes)
    yield "}"


def _columns(grid: Grid) -> str:
    return "l" * grid.keys + "r" * (len(grid.head) - grid.keys)


def _body(grid: Grid) -> Iterator[str]:
    for title, rows in grid.groups.items():
        yield r"\midrule"
        if title:
            yield rf"\multicolumn{{{len(grid.head)}}}{{l}}{{\itshape {paragraph(title)}}} \\"
        yield from (_row(cells) for cells in rows)


def _row(cells: Sequence[Lines]) -> str:
    return " & ".join(shortstack(cell) for cell in cells) + r" \\"
