"""The study's tables as grids, which are set in LaTeX so that they fit a page."""

from collections.abc import Sequence
from textwrap import wrap

import pandas as pd

from sgt.reporting.by_model import Cell, Header, heat_map, model_tables
from sgt.reporting.grid import Grid, Lines, frame_grid
from sgt.reporting.latex import Line
from sgt.reporting.scores import Scores

# Letters of a line of a head or a title.
HEAD, TITLE = 14, 26


def main_grid(scores: Scores, note: str) -> Grid:
    """What sums the benchmarks up: rows of arms by model, with each value and, below it, its gain."""
    tables, used = model_tables(scores), bool(scores.treatments)
    head: list[Lines] = [[Line("arm")], *([[Line("use")]] if used else []), *map(_head, tables[0].headers)]
    groups: dict[str, list[list[Lines]]] = {}
    for table in tables:
        rows = groups.setdefault(table.model, [])
        if any(table.chance):
            rows.append([[Line("chance")], *([[Line("")]] if used else []), *([Line(text)] for text in table.chance)])
        for row in table.rows:
            use: list[Lines] = [[Line(str(row.use or ""))]] if used else []
            mark = "" if row.administered else "†"
            rows.append([[Line(row.arm + mark)], *use, *map(_value_and_gain, row.cells)])
    return Grid("What sums each benchmark up", head, groups, 1, _notes(scores, note))


def metrics_grid(scores: Scores, note: str) -> Grid:
    """Every metric: rows of metrics by benchmark, columns of arms by model; the control's values, the others' gains."""
    heat = heat_map(scores)
    head: list[Lines] = [[Line("metric")]]
    for model, arms in heat.models.items():
        head += [[Line(part) for part in (model, *wrap(arm, HEAD))] for arm in arms]
    groups: dict[str, list[list[Lines]]] = {}
    for header, cells in heat.rows:
        title: Lines = [Line(part) for part in wrap(f"{header.title}, {header.unit}", TITLE)]
        groups.setdefault(header.benchmark, []).append([title, *([_gain_or_value(cell)] for cell in cells)])
    of = "Gains over sft; the control's own values" if "sft" in scores.study.study.arms else "Values"
    return Grid(f"Every metric. {of}", head, groups, 1, _notes(scores, note))


def treatment_grid(frame: pd.DataFrame, note: str) -> Grid:
    """Whether the arms learned their task: what names a row comes first."""
    first = ["model", "arm", next(name for name in frame.columns if name.startswith("measure"))]
    ordered = frame[[*first, *(name for name in frame.columns if name not in first)]]
    return frame_grid(ordered, "Whether the arms learned their task", note, ["model"], 2)


def protocols_grid(frame: pd.DataFrame, note: str) -> Grid:
    """The same replies by every protocol."""
    caption = "The same replies by the rules of every protocol"
    return frame_grid(frame, caption, note, ["model", "arm", "seed"], 3)


def _head(header: Header) -> Lines:
    return [Line(part) for part in (*wrap(header.title, HEAD), header.unit) if part]


def _value_and_gain(cell: Cell) -> Lines:
    return [Line(str(cell.value)), *([Line(str(cell.gain), bold=bool(cell.seen))] if cell.gain else [])]


def _gain_or_value(cell: Cell) -> Line:
    return Line(str(cell.gain or cell.value), bold=bool(cell.gain and cell.seen))


def _notes(scores: Scores, note: str) -> Sequence[str]:
    untreated = any(not each.is_administered for each in scores.treatments.values())
    return [note.replace("`", ""), *(["†: the arm did not learn its task."] if untreated else [])]
