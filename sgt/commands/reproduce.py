"""``sgt reproduce``: make the number of one cell again, and compare it with the table's."""

import argparse
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from sgt.commands.cell_arguments import add_cell, load_cell
from sgt.errors import SgtError
from sgt.reporting.evidence.reproduce import STARTS, TOLERANCE, reproduce


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt reproduce``."""
    add_cell(parser)
    parser.add_argument(
        "--from",
        dest="start",
        choices=STARTS,
        default=STARTS[0],
        help="what is kept; everything after it is made again (%(default)s)",
    )
    parser.add_argument("--out", type=Path, help="folder of the new results (default: reproduced/ in the study's)")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=TOLERANCE,
        help="largest difference that is reported as equal within it (%(default)s: half of the tables' last digit)",
    )


def run(args: argparse.Namespace) -> None:
    """Print what was made, whether each result is equal, and the verdict.

    Raises:
        SgtError: the number is different; or a command failed; or see :func:`reproduce`.
    """
    study, evidence, cell = load_cell(args)
    name = re.sub(r"[^\w-]+", "-", f"{cell.row} {cell.column} from {args.start}")
    folder = args.out or study.results / "reproduced" / name
    made = reproduce(study, evidence, cell, args.start, folder, _run_command)
    for step in made.steps:
        print(f"differs  {step.what}: {step.difference}" if step.difference else f"equal    {step.what}")
    verdict = made.verdict(args.tolerance)
    place = f"{args.table} {cell.row} {cell.column}"
    print(f"{place}: {verdict} (made from {args.start} in {folder})")
    if verdict == "different":
        remedy = f"compare {folder} with the study's, which `sgt verify {study.path}` checks"
        raise SgtError(place, f"different; first {made.first_difference}", remedy)


def _run_command(words: Sequence[str]) -> None:
    """Run a command in a process of its own, as the workflow does.

    Raises:
        SgtError: it failed; it has said why.
    """
    print(f"$ {shlex.join(['sgt', *words])}", flush=True)
    status = subprocess.run([sys.executable, "-m", "sgt", *words], check=False).returncode
    if status:
        raise SgtError(shlex.join(["sgt", *words]), f"ended with status {status}", "see its message above")
