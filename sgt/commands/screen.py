"""``sgt screen``: find the samples of a dataset that a study's models cannot take."""

import argparse

from sgt.commands.arguments import add_study, require_positive
from sgt.errors import SgtError
from sgt.study.load import load_study
from sgt.training.screening import check_items, processors, screened


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt screen``."""
    add_study(parser)
    parser.add_argument("dataset", help="one of the study's")
    parser.add_argument("--workers", type=int, default=processors(), help="processes (%(default)s)")


def run(args: argparse.Namespace) -> None:
    """Write ``screened.json``, and check that the study allows what it leaves out.

    Raises:
        SgtError: more samples are left out than the study allows, or an item of a benchmark would be.
    """
    study = load_study(args.study)
    if args.dataset not in study.study.datasets:
        known = ", ".join(study.study.datasets)
        raise SgtError(args.study, f"no dataset {args.dataset!r}", f"use one of {known}")
    require_positive(args, "workers")
    screening = screened(study, args.dataset, args.workers)
    screening.check_training(study.study.data.max_bad)
    for benchmark in study.benchmarks.values():
        if benchmark.dataset == args.dataset:
            check_items(study, benchmark, args.dataset)
