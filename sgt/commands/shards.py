"""``sgt shards``: make a dataset of a study from what was fetched, or from pictures of your own."""

import argparse
import os
from pathlib import Path

from sgt.commands.arguments import add_study, require_positive
from sgt.config.datasets import Images, Toyworld
from sgt.data.sources.make import make_shards
from sgt.errors import SgtError
from sgt.study.load import load_study


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt shards``."""
    add_study(parser)
    parser.add_argument("dataset", help="one of the study's, other than toyworld")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes (%(default)s)")


def run(args: argparse.Namespace) -> None:
    """Write every shard, a report of each, and the manifest last.

    Raises:
        SgtError: the study has no such dataset; or see :func:`make_shards`.
    """
    study = load_study(args.study)
    spec = study.study.datasets.get(args.dataset)
    if spec is None or isinstance(spec, Toyworld):
        known = [name for name, each in study.study.datasets.items() if not isinstance(each, Toyworld)]
        raise SgtError(args.study, f"no dataset {args.dataset!r} to make shards of", f"use one of {', '.join(known)}")
    require_positive(args, "workers")
    source = Path(spec.folder) if isinstance(spec, Images) else study.download_dir(spec.download)
    make_shards(spec, study.dataset_dir(args.dataset), source, args.workers, study.study.data.max_bad)
