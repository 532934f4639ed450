"""``sgt pretrain``: train a base model from nothing, so that a small study has one."""

import argparse
from pathlib import Path

import torch

from sgt.commands.arguments import add_study
from sgt.errors import SgtError
from sgt.study.load import load_study
from sgt.training.pretrain import pretrain


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt pretrain``."""
    add_study(parser)
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder for final/ and, meanwhile, work/")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2, help="CPU threads; the result depends on it bit by bit")


def run(args: argparse.Namespace) -> None:
    """Pretrain one of the study's models.

    Raises:
        SgtError: the model has no pretrain recipe; or see :func:`pretrain`.
    """
    torch.set_num_threads(args.threads)
    study = load_study(args.study)
    spec = study.models.get(args.model)
    if spec is None or spec.pretrain is None:
        raise SgtError(args.study, f"model {args.model!r} has no pretrain recipe", "see config/models")
    pretrain(study, spec, args.out, args.seed)
