"""``sgt schema``: the JSON schema of a study file, for editors, or of ``evidence.json``, for whoever reads it."""

import argparse

from sgt.reporting.evidence.schema import evidence_schema
from sgt.study.schema import study_schema

SCHEMAS = {"study": study_schema, "evidence": evidence_schema}


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt schema``."""
    parser.add_argument("of", nargs="?", choices=list(SCHEMAS), default="study", help="(%(default)s)")


def run(args: argparse.Namespace) -> None:
    """Print the JSON schema."""
    print(SCHEMAS[args.of](), end="")
