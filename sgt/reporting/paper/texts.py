"""The paper's tables as rows of CSV, and as grids of texts."""

from collections.abc import Iterator, Sequence
from textwrap import wrap

import numpy as np
import pandas as pd

from sgt.config.study import ARM_WITHOUT_PROXY
from sgt.reporting.grid import Grid, Lines
from sgt.reporting.latex import Line
from sgt.reporting.paper.cells import Cell, Measure, PaperTable
from sgt.reporting.points import is_share, shown, unit_of_gains, unit_of_values
from sgt.reporting.scores import Scores
from sgt.study.releases import trains

NOT_RUN = "not run"
# Letters of a line of a column's head.
HEAD = 13
NOTHING = "The study has run nothing of this table."


def csv_rows(table: PaperTable) -> pd.DataFrame:
    """One row per cell, of what was not run too.

    Columns: ``model``, ``arm``, ``at`` (on a curve's axis), ``column``, ``metrics`` (benchmarks and metrics that it is
    the mean of), ``status`` (``measured`` or ``not run``); ``value``, ``low``, ``high`` (95%), ``n`` (items),
    ``seeds``; ``gain``, ``gain_low``, ``gain_high`` over the control, ``p``, ``p_holm`` (corrected for the comparisons
    of the table), ``significant``, ``administered``, ``best``; ``printed`` (by the paper, in percent),
    ``printed_is_gain`` (over sft), ``printed_digitised`` and ``printed_where``.
    """
    rows = []
    for place, cells in zip(table.places, table.cells, strict=True):
        for measure, cell in zip(table.measures, cells, strict=True):
            of = " ".join(f"{benchmark}:{metric.name}" for benchmark, metric in measure.of)
            about = {"model": place.model, "arm": place.arm, "at": place.at, "column": measure.title, "metrics": of}
            rows.append({**about, "status": "measured" if cell else NOT_RUN, **(_values(cell) if cell else {})})
    return pd.DataFrame(rows, columns=COLUMNS)


COLUMNS = [
    *("model", "arm", "at", "column", "metrics", "status", "value", "low", "high", "n", "seeds", "gain", "gain_low"),
    *("gain_high", "p", "p_holm", "significant", "administered", "best", "printed", "printed_is_gain"),
    *("printed_digitised", "printed_where"),
]


def _values(cell: Cell) -> dict:
    gain, printed = cell.gain, cell.printed
    return {
        **vars(cell.value),
        "seeds": cell.seeds,
        "gain": gain and gain.value,
        "gain_low": gain and gain.low,
        "gain_high": gain and gain.high,
        "p": gain and gain.p,
        "p_holm": cell.p,
        "significant": cell.is_significant,
        "administered": cell.administered,
        "best": cell.best,
        "printed": printed and printed.value,
        "printed_is_gain": printed and printed.is_gain,
        "printed_digitised": printed and printed.digitised,
        "printed_where": printed and printed.where,
    }


def grid_of(scores: Scores, table: PaperTable) -> Grid:
    """The table as texts; columns that nothing was run of are named below it."""
    run = [column for column in range(len(table.measures)) if any(row[column] for row in table.cells)]
    head: list[Lines] = (
        [[Line("arm")], *(_head(table, column) for column in run)] if run else [[Line("arm")], [Line("")]]
    )
    groups: dict[str, list[list[Lines]]] = {}
    for place, cells in zip(table.places, table.cells, strict=True):
        dagger = "†" if any(cell and not cell.administered for cell in cells) else ""
        texts = [_lines(table, table.measures[column], cells[column]) for column in run] or [[Line(NOT_RUN)]]
        groups.setdefault(place.model, []).append([[Line(place.label + dagger)], *texts])
    if not table.places:
        groups = {"": [[[Line(NOT_RUN)], *[[Line(NOT_RUN)]] * max(len(run), 1)]]}
    return Grid(table.caption, head, groups, 1, list(_notes(scores, table, run)))


def _head(table: PaperTable, column: int) -> Lines:
    measure = table.measures[column]
    n = sorted({cell.value.n for row in table.cells if (cell := row[column])})
    unit = unit_of_gains(measure.of[0][1]) if table.gains else unit_of_values(measure.of[0][1])
    many = f"n={n[0]:,}" if len(n) == 1 else f"n={n[0]:,}–{n[-1]:,}"
    titles = [line for part in measure.title.split("\n") for line in wrap(part, HEAD, break_long_words=False)]
    return [*map(Line, titles), *([Line(unit)] if unit else []), Line(many)]


def _lines(table: PaperTable, measure: Measure, cell: Cell | None) -> Lines:
    if cell is None:
        return [Line(NOT_RUN)]
    (_, metric), gain = measure.of[0], cell.gain
    star = "*" if cell.is_significant else ""
    value = shown(metric, cell.value.value, cell.value.low, cell.value.high)
    over = shown(metric, gain.value, gain.low, gain.high, gain=True) if gain else None
    if table.gains:
        return [Line(f"{over}{star}" if over else "–", cell.best)]
    lines = [Line(str(value), cell.best)]
    if over:
        lines.append(Line(f"{over}{star}"))
    if cell.printed:
        number = f"{cell.printed.value:+g} gain" if cell.printed.is_gain else f"{cell.printed.value:g}"
        lines.append(Line(f"printed {'≈' if cell.printed.digitised else ''}{number}"))
    return lines


def _notes(scores: Scores, table: PaperTable, run: Sequence[int]) -> Iterator[str]:
    study = scores.study.study
    if not run or not table.places:
        yield NOTHING
    missing = [measure.title for column, measure in enumerate(table.measures) if column not in run]
    if missing and table.places:
        yield f"Not run by this study: {', '.join(missing)}."
    if not run or not table.places:
        return
    cells = [cell for row in table.cells for cell in row if cell]
    seeds = len(study.seeds)
    over = scores.clusters if seeds == 1 else f"{seeds} training seeds and {scores.clusters}"
    text = f"After ± stands half of the 95% interval over {over}."
    if seeds == 1:
        why = "One seed: exploratory, since" if trains(scores.study) else "Every model is one training, and"
        text += f" {why} what another training would have changed is not in it."
    compared = sum(not np.isnan(cell.p) for cell in cells)
    if compared and not table.gains:
        text += f" Second line: gain over {ARM_WITHOUT_PROXY} on the same items."
    if compared:
        text += (
            f" *: a difference from {ARM_WITHOUT_PROXY} is seen (p < 0.05 after Holm's correction for the {compared} "
        )
        text += "comparisons of the table)."
    if any(cell.best for cell in cells):
        text += f" Bold: better than {ARM_WITHOUT_PROXY} by that test, and than every other arm beyond the interval."
    yield text
    if any(not cell.administered for cell in cells):
        yield "†: the arm did not learn its proxy; nothing is claimed about it."
    if any(cell.printed for cell in cells):
        yield "Printed: the paper's value of the same metric; ≈: read off a figure. What is not comparable is left out."
    if any(len(measure.of) > 1 for measure in table.measures):
        means = [f"{m.title}: mean of {', '.join(name for name, _ in m.of)}" for m in table.measures if len(m.of) > 1]
        yield f"{'; '.join(means)}."
    if not all(is_share(metric) for measure in table.measures for _, metric in measure.of):
        yield "What is no share is in its own unit."
