"""Reading ``evidence.json``, and finding a cell in it."""

import json

from pydantic import ValidationError

from sgt.config.study import ARM_WITHOUT_TRAINING
from sgt.errors import SgtError
from sgt.identity import read_record
from sgt.reporting.evidence.schema import Cell, Evidence
from sgt.study.loaded import LoadedStudy
from sgt.study.releases import arm_label
from sgt.study.results import EVIDENCE_FILE

TABLES = ("main", "all")


def read_evidence(study: LoadedStudy) -> Evidence:
    """A study's evidence. Whether the results are still as it has them is what ``sgt verify`` finds out.

    Raises:
        SgtError: there is none, or it is damaged, was edited, or is of another version.
    """
    path, remedy = study.results / EVIDENCE_FILE, f"run `sgt evidence {study.path}`"
    try:
        return Evidence.model_validate_json(json.dumps(read_record(path)), strict=True)
    except FileNotFoundError:
        raise SgtError(path, "no such file", remedy) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = f"{path}: {'.'.join(map(str, first['loc']))}"
        raise SgtError(where, f"not of this version ({first['msg']})", remedy) from None


def find_cell(study: LoadedStudy, evidence: Evidence, table: str, row: str, column: str) -> Cell:
    """A cell by its place in a table.

    Args:
        study: for messages.
        evidence: of the study.
        table: ``main`` or ``all``.
        row: ``MODEL/ARM``, or ``MODEL/released`` as the table has it.
        column: as in the table's header; or benchmark and title, or benchmark and name of the metric.

    Raises:
        SgtError: there is no such table, row or column, or several columns have the title.
    """
    if table not in TABLES:
        raise SgtError(table, "no table with evidence of each cell", f"use one of {', '.join(TABLES)}")
    cells = [cell for cell in evidence.cells if table in cell.tables]
    model, _, label = row.partition("/")
    named = f"{model}/{ARM_WITHOUT_TRAINING}" if label == arm_label(study, model, ARM_WITHOUT_TRAINING) else row
    in_row = [cell for cell in cells if cell.row == named]
    if not in_row:
        rows = ", ".join(dict.fromkeys(cell.row for cell in cells))
        raise SgtError(study.path, f"table {table} has no row {row!r}", f"use one of {rows}")
    found = [cell for cell in in_row if column in (cell.column, f"{cell.benchmark} {cell.metric.name}")]
    found = found or [cell for cell in in_row if column in (cell.metric.title, cell.metric.name)]
    if len(found) == 1:
        return found[0]
    problem = f"has {len(found)} columns {column!r}" if found else f"has no column {column!r}"
    columns = ", ".join(f"'{cell.column}'" for cell in found or in_row)
    raise SgtError(study.path, f"table {table} {problem}", f"use one of {columns}")
