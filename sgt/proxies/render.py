"""``sgt render``: the targets of one shard."""

import argparse
import logging
from pathlib import Path

import numpy as np
from PIL import Image

from sgt.atomic import sha256, write_json
from sgt.data.images import decode_image, decode_target, encode_png
from sgt.data.shards import Sample, ShardWriter, read_shard
from sgt.errors import SgtError
from sgt.proxies import PROXIES
from sgt.proxies.base import Proxy

log = logging.getLogger("sgt")


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt render``."""
    parser.add_argument("proxy", help=f"one of {', '.join(PROXIES)}")
    parser.add_argument("source", type=Path, help="shard of images with annotations")
    parser.add_argument("out", type=Path, help="shard of targets; a report OUT.json is written beside it")
    parser.add_argument("--max-bad", type=float, default=0.0, help="share of samples that may be refused (%(default)s)")


def run(args: argparse.Namespace) -> None:
    """Render every sample, in the source's order and under its keys."""
    render_shard(proxy_named(args.proxy), args.source, args.out, args.max_bad)


def proxy_named(name: str) -> Proxy:
    """A registered proxy.

    Raises:
        SgtError: there is none of this name.
    """
    if name not in PROXIES:
        raise SgtError(name, "unknown proxy", f"use one of {', '.join(PROXIES)}")
    return PROXIES[name]


def target_of(proxy: Proxy, sample: Sample) -> Image.Image:
    """The target of one stored sample."""
    return proxy.render(decode_image(sample.get("jpg"), f"{sample.shard}: {sample.key}.jpg"), sample)


def read_target(rendered: Sample) -> Image.Image:
    """A rendered target as it was made: palette images stay palette images, grey ones become RGB."""
    return decode_target(rendered.get("png"), f"{rendered.shard}: {rendered.key}.png")


def render_shard(proxy: Proxy, source: Path, out: Path, max_bad: float) -> None:
    """Write the targets of a shard and a report of them.

    Raises:
        SgtError: the shard is unreadable, or a larger share than ``max_bad`` of its samples had to be refused.
    """
    refused: list[tuple[str, SgtError]] = []
    covered: list[float] = []
    seen = 0
    with ShardWriter(out) as shard:
        for sample in read_shard(source):
            seen += 1
            try:
                target = target_of(proxy, sample)
            except SgtError as error:
                log.warning("refused %s", error)
                refused.append((sample.key, error))
                continue
            covered.append(_covered(target))
            shard.add(sample.key, {"png": encode_png(target)})
        if len(refused) > max_bad * seen:
            first = refused[0][1]
            raise SgtError(
                first.where, f"{first.problem} ({len(refused)} of {seen} samples refused)", "mend or allow --max-bad"
            )
    report = {
        "proxy": proxy.name,
        "source": source.name,
        "source_sha256": sha256(source),
        "images": shard.count,
        "covered": round(float(np.mean(covered)), 6) if covered else None,
        "refused": [{"key": key, "reason": str(error)} for key, error in refused],
    }
    write_json(out.with_suffix(".json"), report)


def _covered(target: Image.Image) -> float:
    """Share of pixels that are not black (for masks: that belong to an object)."""
    pixels = np.asarray(target)
    return float((pixels.any(axis=2) if pixels.ndim == 3 else pixels > 0).mean())
