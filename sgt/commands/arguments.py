"""Arguments that several commands share."""

import argparse
import re
from pathlib import Path

from sgt.errors import SgtError
from sgt.evaluation.predictions import Shard
from sgt.reporting.evidence.read import find_cell, read_evidence
from sgt.reporting.evidence.schema import Cell, Evidence
from sgt.study.load import LoadedStudy, Run, load_study


def add_study(parser: argparse.ArgumentParser) -> None:
    """Add the study."""
    parser.add_argument("study", type=Path, help="study file")


def add_run(parser: argparse.ArgumentParser) -> None:
    """Add the study and the three coordinates of a run."""
    add_study(parser)
    parser.add_argument("--model", required=True)
    parser.add_argument("--arm", required=True)
    parser.add_argument("--seed", type=int, required=True)


def load_run(args: argparse.Namespace, transplants: bool = False) -> tuple[LoadedStudy, Run]:
    """The study and the run that the arguments of :func:`add_run` name.

    Args:
        args: of the command.
        transplants: the arm may be the name of a transplant.

    Raises:
        SgtError: the study is not valid, or has no such run.
    """
    study = load_study(args.study)
    return study, study.run(args.model, args.arm, args.seed, transplants)


def add_analysis(parser: argparse.ArgumentParser, kind: str) -> None:
    """Add a run, and the name of an analysis of this kind."""
    add_run(parser)
    parser.add_argument("--analysis", default=kind, help=f"its name in the study (default: {kind})")


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


def require_positive(args: argparse.Namespace, *names: str) -> None:
    """Check that integer options are at least 1.

    Raises:
        SgtError: one is not.
    """
    for name in names:
        if (value := getattr(args, name)) < 1:
            raise SgtError(f"--{name}", f"must be at least 1, got {value}", f"see `sgt {args.command} --help`")


def shard(text: str) -> Shard:
    """A share of a job from its text, ``2/8`` for the second of eight.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    match = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", text)
    if match is None or int(match[1]) > int(match[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is no share: write 2/8 for the second of eight")
    return Shard(int(match[1]), int(match[2]))
