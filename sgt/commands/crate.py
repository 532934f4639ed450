"""``sgt crate``: evidence as an RO-Crate, which other tools read."""

import argparse

from sgt.commands.arguments import add_study
from sgt.reporting.evidence.crate import write_crate
from sgt.reporting.evidence.read import read_evidence
from sgt.study.load import load_study


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt crate``."""
    add_study(parser)


def run(args: argparse.Namespace) -> None:
    """Write ``ro-crate-metadata.json`` into the study's results, which makes of them a crate."""
    study = load_study(args.study)
    print(write_crate(study, read_evidence(study)))
