"""``sgt verify``: whether every file of a study is as its records have it."""

import argparse

from sgt.commands.arguments import add_study
from sgt.errors import SgtError
from sgt.study.load import load_study
from sgt.study.verify import verify


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt verify``."""
    add_study(parser)


def run(args: argparse.Namespace) -> None:
    """Print each file that is missing or not as recorded, and how many are sound.

    Raises:
        SgtError: a file is not as recorded, or a result does not follow from the study as it is.
    """
    study = load_study(args.study)
    verified = verify(study)
    for path in verified.missing:
        print(f"missing  {path}")
    for path, problem in verified.changed.items():
        print(f"changed  {path}: {problem}")
    print(f"{len(verified.sound)} files are as recorded, {len(verified.missing)} are not there")
    if verified.changed:
        first, count = next(iter(verified.changed)), len(verified.changed)
        what = "1 file is" if count == 1 else f"{count} files are"
        remedy = f"restore what is listed, or delete it and run `make study STUDY={study.path}`"
        raise SgtError(first, f"{what} not as recorded", remedy)
