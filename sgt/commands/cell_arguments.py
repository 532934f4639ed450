"""Arguments that name a cell of a table; in a module of their own, as few commands need the evidence."""

import argparse

from sgt.commands.arguments import add_study
from sgt.reporting.evidence.read import find_cell, read_evidence
from sgt.reporting.evidence.schema import Cell, Evidence
from sgt.study.load import load_study
from sgt.study.loaded import LoadedStudy


def add_cell(parser: argparse.ArgumentParser) -> None:
    """Add the study and the place of a cell."""
    add_study(parser)
    parser.add_argument("table", help="main or all")
    parser.add_argument("row", help="MODEL/ARM")
    parser.add_argument("column", help="as in the table's header, or BENCHMARK TITLE where several have the title")


def load_cell(args: argparse.Namespace) -> tuple[LoadedStudy, Evidence, Cell]:
    """The study, its evidence, and the cell that the arguments of :func:`add_cell` name.

    Raises:
        SgtError: the study is not valid, has no evidence, or no such cell.
    """
    study = load_study(args.study)
    evidence = read_evidence(study)
    return study, evidence, find_cell(study, evidence, args.table, args.row, args.column)
