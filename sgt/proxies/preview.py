"""``sgt preview``: a contact sheet of one shard, a row per sample: the input, what is seen of it, and each target."""

import argparse
import json
import logging
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from sgt.atomic import atomic_path, sha256
from sgt.data.images import decode_target, image_of
from sgt.data.shards import Sample, read_shard
from sgt.errors import SgtError
from sgt.identity import Identity, write_record
from sgt.proxies import PROXIES
from sgt.proxies.base import Proxy
from sgt.proxies.render import encode_target, proxy_named, proxy_with

log = logging.getLogger("sgt")
GAP = 6
TITLE = 20
INK, PAPER = (30, 30, 30), (255, 255, 255)

Columns = dict[str, Image.Image]


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt preview``."""
    parser.add_argument("shard", type=Path)
    parser.add_argument("out", type=Path, help="PNG file")
    parser.add_argument("--count", type=int, default=8, help="samples, from the first (%(default)s)")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--proxies", default=",".join(PROXIES), help="names, separated by commas (%(default)s)")
    chosen.add_argument("--options", help="names with what is chosen about each, as a JSON object of objects")
    parser.add_argument("--side", type=int, default=144, help="longest side of a picture, pixels (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the degradations")
    parser.add_argument("--record", type=Path, help="file that will say what the sheet was drawn from")


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
    rows = [pictures(sample, drawn, np.random.default_rng([args.seed, place])) for place, sample in enumerate(samples)]
    with atomic_path(args.out) as temporary:
        contact_sheet(rows, args.side).save(temporary, "PNG")
    if args.record:
        write_record(args.record, {"identity": sheet_identity(proxies, sha256(args.shard))})


def sheet_identity(proxies: dict[str, Proxy], shard_sha256: str) -> Identity:
    """What decides a contact sheet: the shard, and the proxies by the names they have on it."""
    return {"shard": shard_sha256, "proxies": {name: proxy.choices for name, proxy in proxies.items()}}


def proxies_of(options: str) -> dict[str, Proxy]:
    """Proxies by the name that a study gives them: ``{"edge-canny": {"task": "edge", "method": "canny"}}``.

    Raises:
        SgtError: it is not that, or a task or option is unknown.
    """
    try:
        chosen = json.loads(options)
        tasks = {name: choice.pop("task") for name, choice in chosen.items()}
    except (ValueError, AttributeError, KeyError) as error:
        raise SgtError("--options", f"not a JSON object of objects with a task ({error!r})", "see the help") from None
    return {name: proxy_with(task, json.dumps(chosen[name])) for name, task in tasks.items()}


def pictures(sample: Sample, proxies: dict[str, Proxy], rng: np.random.Generator) -> Columns:
    """The input, what a degrading proxy shows of it, and the targets, by column title."""
    image = image_of(sample)
    row = {"input": image}
    for name, proxy in proxies.items():
        if proxy.degrades:
            row[f"{name}: shown"] = proxy.condition(image, rng)
        target = proxy.render(image, sample)
        row[name] = decode_target(encode_target(target), name).convert("RGB")
    return row


def contact_sheet(rows: list[Columns], side: int) -> Image.Image:
    """One RGB sheet of rows that have the same titles; each picture fills a ``side`` × ``side`` cell as far as it can.

    Pictures are resized by nearest neighbour, so that the colours of labels and single pixels stay what they are.
    """
    titles = list(rows[0])
    pitch = side + GAP
    sheet = Image.new("RGB", (GAP + pitch * len(titles), TITLE + GAP + pitch * len(rows)), PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles):
        left = GAP + column * pitch
        draw.text((left + side / 2, TITLE / 2 + GAP / 2), title, INK, _font(title, side), anchor="mm")
        for place, row in enumerate(rows):
            picture = ImageOps.contain(row[title], (side, side), Image.Resampling.NEAREST)
            margin = (side - picture.width) // 2, (side - picture.height) // 2
            sheet.paste(picture, (left + margin[0], TITLE + GAP + place * pitch + margin[1]))
    return sheet


def _font(title: str, width: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The largest font, up to 13 pixels, in which the title fits the column."""
    fonts = [ImageFont.load_default(size) for size in range(13, 5, -1)]
    return next((font for font in fonts if font.getlength(title) <= width), fonts[-1])
