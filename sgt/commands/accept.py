"""``sgt accept``: whether a base model that was pretrained here is good enough to be post-trained from."""

import argparse
from pathlib import Path

from sgt.commands.arguments import add_study
from sgt.errors import SgtError
from sgt.evaluation.acceptance import check_base
from sgt.study.identity import ACCEPTANCE
from sgt.study.load import load_study


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt accept``."""
    add_study(parser)
    parser.add_argument("--model", required=True)
    parser.add_argument("--checkpoint", type=Path, help="folder of the weights (the model's own)")
    parser.add_argument("--out", type=Path, help=f"the record ({ACCEPTANCE} beside the weights)")


def run(args: argparse.Namespace) -> None:
    """Measure a base model on held-out scenes and write ``acceptance.json``.

    Raises:
        SgtError: the study has no such model, or it is not good enough.
    """
    study = load_study(args.study)
    spec = study.models.get(args.model)
    if spec is None:
        raise SgtError(args.study, f"has no model {args.model!r}", "add it to models")
    checkpoint = args.checkpoint or Path(spec.checkpoint)
    check_base(study, spec, checkpoint, args.out or checkpoint / ACCEPTANCE, args.command_line)
