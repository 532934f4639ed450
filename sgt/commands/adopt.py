"""``sgt adopt``: hold results that came from elsewhere against the study, down to the last byte.

The workflow by itself compares what decided each result, and looks into files that are newer than their records. After
a transfer, this looks into all of them.
"""

import argparse
import logging

from sgt.atomic import sha256
from sgt.commands.arguments import add_study
from sgt.errors import SgtError
from sgt.progress import Progress
from sgt.study.load import load_study
from sgt.study.reconcile import reconcile
from sgt.study.results import MISSING, Result, Results, cannot_be_compared

log = logging.getLogger("sgt")


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt adopt``."""
    add_study(parser)


def run(args: argparse.Namespace) -> None:
    """Hash every file of every result, and set the times of those that are the study's in order.

    Raises:
        SgtError: a file is damaged, or a result is there that is not of the study as it is.
    """
    study = load_study(args.study)
    results = Results(study)
    every = [result for stage in results.stages() for result in stage]
    there = [result for result in every if result.record.exists()]
    progress = Progress("results", max(1, len(there)))
    for result in there:
        _see_that_it_is_whole(result)
        progress.add()
    faults = reconcile(study)
    alone = [result for result in there if cannot_be_compared(faults.get(result.record, ""))]
    foreign = [result for result in there if result.record in faults and result not in alone]
    if foreign:
        problem = f"not of the study as it is ({len(foreign)} of {len(there)} results): {faults[foreign[0].record]}"
        raise SgtError(foreign[0].record, problem, f"`make study STUDY={study.path}` makes these again")
    missing = sum(fault == MISSING for fault in faults.values())
    log.info("%d results are whole and of this study, %d are not there", len(there) - len(alone), missing)
    if alone:
        log.info("%d are whole; what they are made from is not there to compare them with the study", len(alone))


def _see_that_it_is_whole(result: Result) -> None:
    for path, digest in result.recorded()[1].items():
        if path.exists() and sha256(path) != digest:
            raise SgtError(
                path, "is not as its record has it", f"restore it, or delete {result.record} to make it again"
            )
