"""``sgt evidence``: what lies behind every cell of a study's tables."""

import argparse

from sgt.commands.arguments import add_study
from sgt.reporting.evidence.build import write_evidence


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt evidence``."""
    add_study(parser)


def run(args: argparse.Namespace) -> None:
    """Write ``evidence.json``, from results of the study as it is."""
    write_evidence(args.study)
