"""Arguments that several commands share."""

import argparse
from pathlib import Path

from sgt.errors import SgtError
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


def require_positive(args: argparse.Namespace, *names: str) -> None:
    """Check that integer options are at least 1.

    Raises:
        SgtError: one is not.
    """
    for name in names:
        if (value := getattr(args, name)) < 1:
            raise SgtError(f"--{name}", f"must be at least 1, got {value}", f"see `sgt {args.command} --help`")
