"""``sgt preview``: a contact sheet of one shard, a row per sample: the image, degraded inputs, and each target."""

import argparse
import json
import logging
from itertools import islice
from pathlib import Path

import numpy as np

from sgt.atomic import atomic_path, sha256
from sgt.data.images import decode_target, image_of
from sgt.data.shards import Sample, read_shard
from sgt.errors import SgtError
from sgt.identity import Identity, write_record
from sgt.proxies import PROXIES
from sgt.proxies.base import Proxy
from sgt.proxies.contact_sheet import Row, contact_sheet
from sgt.proxies.render import encode_target, proxy_from, proxy_named

log = logging.getLogger("sgt")


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt preview``."""
    parser.add_argument("shard", type=Path)
    parser.add_argument("out", type=Path, help="PNG file")
    parser.add_argument("--count", type=int, default=8, help="number of samples, from the first (%(default)s)")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--proxies", default=",".join(PROXIES), help="names, separated by commas (%(default)s)")
    chosen.add_argument("--options", help="names with the task and options of each, as a JSON object of objects")
    parser.add_argument("--side", type=int, default=144, help="longest side of an image, pixels (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the degradations (%(default)s)")
    parser.add_argument("--record", type=Path, help="write the identity of the sheet to this file")


def run(args: argparse.Namespace) -> None:
    """Draw the sheet.

    Raises:
        SgtError: the shard or a sample is damaged, is empty, or a proxy is unknown.
    """
    for option in ("count", "side"):
        if getattr(args, option) < 1:
            raise SgtError(f"--{option}", f"{getattr(args, option)} is too small", "give a positive number")
    if args.options is None:
        proxies = {name: proxy_named(name) for name in args.proxies.split(",")}
    else:
        proxies = proxies_of(args.options)
    samples = list(islice(read_shard(args.shard), args.count))
    if not samples:
        raise SgtError(args.shard, "has no samples", "make or fetch the shard again")
    drawn = {name: proxy for name, proxy in proxies.items() if all(proxy.applies_to(sample) for sample in samples)}
    for name in proxies:
        if name not in drawn:
            log.warning("%s: left out, samples of %s lack %s", name, args.shard, " or ".join(proxies[name].needs))
    rows = [row_of(sample, drawn, np.random.default_rng([args.seed, index])) for index, sample in enumerate(samples)]
    with atomic_path(args.out) as temporary:
        contact_sheet(rows, args.side).save(temporary, "PNG")
    if args.record:
        write_record(args.record, {"identity": sheet_identity(proxies, sha256(args.shard))})


def sheet_identity(proxies: dict[str, Proxy], shard_sha256: str) -> Identity:
    """What decides a contact sheet: the shard, and the proxies by the titles of their columns."""
    return {"shard": shard_sha256, "proxies": {name: proxy.identity for name, proxy in proxies.items()}}


def proxies_of(options: str) -> dict[str, Proxy]:
    """Proxies by the name that a study gives them, from ``{"edge-canny": {"task": "edge", "method": "canny"}}``.

    Raises:
        SgtError: this is not a JSON object of objects, or a task or option is unknown.
    """
    try:
        mappings = {name: dict(mapping) for name, mapping in json.loads(options).items()}
    except (ValueError, AttributeError, TypeError) as error:
        remedy = 'give one, such as {"edge": {"task": "edge"}}'
        raise SgtError("--options", f"not a JSON object of objects ({error})", remedy) from None
    return {name: proxy_from(mapping) for name, mapping in mappings.items()}


def row_of(sample: Sample, proxies: dict[str, Proxy], rng: np.random.Generator) -> Row:
    """The image of a sample, the input of each degrading proxy, and the targets, by column title."""
    image = image_of(sample)
    row = {"input": image}
    for name, proxy in proxies.items():
        if proxy.degrades:
            row[f"{name}: shown"] = proxy.condition(image, rng)
        target = proxy.render(image, sample)
        row[name] = decode_target(encode_target(target), name).convert("RGB")
    return row
