"""``sgt base``: a model's base weights, as ``data.dvc`` names them."""

import argparse
from pathlib import Path

from sgt.errors import SgtError
from sgt.study.base_weights import DATA, fetch_base, model_files


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt base``."""
    parser.add_argument("checkpoint", type=Path, help="the folder of one model's base weights, as its file names it")


def run(args: argparse.Namespace) -> None:
    """Make the files of one model those that ``data.dvc`` names.

    Raises:
        SgtError: ``data.dvc`` names no files there, or a file cannot be fetched whole.
    """
    if not model_files(args.checkpoint):
        remedy = "check `checkpoint` in the model's file, or put the weights there"
        raise SgtError(DATA, f"names no files in {args.checkpoint}", remedy)
    fetch_base(args.checkpoint)
