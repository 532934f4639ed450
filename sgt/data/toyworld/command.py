"""``sgt toyworld``: make the built-in scenes and questions as shards."""

import argparse
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from pydantic import ValidationError

from sgt.data.shards import MANIFEST, shard_name
from sgt.data.toyworld.dataset import write_shard, write_toyworld_manifest
from sgt.data.toyworld.sampling import SPLITS
from sgt.errors import SgtError
from sgt.progress import Progress
from sgt.study.datasets import Toyworld


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
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes (%(default)s)")


def run(args: argparse.Namespace) -> None:
    """Write every shard, then the manifest.

    Raises:
        SgtError: an argument is out of range.
    """
    try:
        spec = Toyworld(
            source="toyworld",
            split=args.split,
            scenes=args.scenes,
            per_shard=args.per_shard,
            size=args.size,
            seed=args.seed,
        )
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + str(first["loc"][0]).replace("_", "-")
        raise SgtError(option, f"{first['msg']}, got {first['input']}", "see `sgt toyworld --help`") from None
    if args.workers < 1:
        raise SgtError("--workers", f"must be at least 1, got {args.workers}", "see `sgt toyworld --help`")
    make_dataset(args.out, spec, args.workers)


def make_dataset(folder: Path, spec: Toyworld, workers: int) -> None:
    """Write a dataset with this many processes; the bytes do not depend on how many.

    Raises:
        SgtError: the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SgtError(folder, f"cannot be made ({error.strerror})", "name a folder that can be written") from None
    # A manifest of an earlier dataset must not vouch for shards that are being replaced.
    (folder / MANIFEST).unlink(missing_ok=True)
    progress = Progress("scenes", spec.scenes)
    counts: dict[str, int] = {}
    with ProcessPoolExecutor(min(workers, spec.shards)) as pool:
        names = {
            pool.submit(write_shard, folder / shard_name(index), spec, index): shard_name(index)
            for index in range(spec.shards)
        }
        try:
            for future in as_completed(names):
                counts[names[future]] = future.result()
                progress.add(future.result())
        except OSError:
            pool.shutdown(cancel_futures=True)
            raise
    write_toyworld_manifest(folder, spec, counts)
