"""``sgt schema``: the JSON schema of a study file, for editors."""

import argparse

from sgt.study.schema import study_schema


def configure(parser: argparse.ArgumentParser) -> None:
    """``sgt schema`` prints to stdout; it takes no arguments."""


def run(args: argparse.Namespace) -> None:
    """Print the JSON schema."""
    print(study_schema(), end="")
