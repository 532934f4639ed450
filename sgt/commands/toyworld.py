"""``sgt toyworld``: make the built-in scenes and questions as shards."""

import argparse
import os
from pathlib import Path

from pydantic import ValidationError

from sgt.commands.arguments import require_positive
from sgt.config.datasets import Toyworld
from sgt.data.toyworld.make import make_dataset
from sgt.data.toyworld.sampling import SPLITS
from sgt.errors import SgtError


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt toyworld``."""
    fields = Toyworld.model_fields
    parser.add_argument("out", type=Path, help="folder of the shards and their manifest")
    parser.add_argument("--split", required=True, choices=list(SPLITS))
    parser.add_argument("--scenes", type=int, required=True, help="how many scenes")
    parser.add_argument(
        "--per-shard", type=int, default=fields["per_shard"].default, help="scenes per shard (%(default)s)"
    )
    parser.add_argument("--size", type=int, default=fields["size"].default, help="image side, pixels (%(default)s)")
    parser.add_argument("--seed", type=int, default=fields["seed"].default, help="(%(default)s)")
    parser.add_argument("--edits", action="store_true", help="also an edited version of each scene")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes (%(default)s)")


def run(args: argparse.Namespace) -> None:
    """Write every shard, then the manifest.

    Raises:
        SgtError: an argument is out of range.
    """
    options = {name: getattr(args, name) for name in ("split", "scenes", "per_shard", "size", "seed", "edits")}
    try:
        spec = Toyworld(source="toyworld", **options)
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + str(first["loc"][0]).replace("_", "-")
        raise SgtError(option, f"{first['msg']}, got {first['input']}", "see `sgt toyworld --help`") from None
    require_positive(args, "workers")
    make_dataset(args.out, spec, args.workers)
