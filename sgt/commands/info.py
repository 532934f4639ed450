"""``sgt info``: what is known about one run or model, on one screen."""

import argparse
from pathlib import Path

from sgt.app.about_model import about_model
from sgt.app.about_run import about_run
from sgt.app.columns import aligned
from sgt.app.find import find_run, model_names


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt info``."""
    parser.add_argument("name", metavar="RUN|MODEL", help="MODEL/ARM/seedN, as in `sgt ls runs`; or a model's name")
    parser.add_argument("--study", dest="of_study", type=Path, help="that has the run (default: the one of config/)")


def run(args: argparse.Namespace) -> None:
    """Print recipe, losses, treatment, scores and evidence of a run; of a model, whose weights it has.

    Raises:
        SgtError: no study, or several, have such a run, or its record is damaged; a model's file is not valid.
    """
    is_model = args.name in model_names()
    lines = list(about_model(args.name) if is_model else about_run(*find_run(args.name, args.of_study)))
    labels = [label if place == 0 or lines[place - 1][0] != label else "" for place, (label, _) in enumerate(lines)]
    print(aligned([(label, text) for label, (_, text) in zip(labels, lines, strict=True)]))
