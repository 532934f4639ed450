"""A contact sheet of one shard, a row per sample: the input, what is seen of it, and each target."""

import json
import logging
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from sgt.atomic import atomic_path
from sgt.data.images import decode_target, image_of
from sgt.data.shards import Sample, read_shard
from sgt.errors import SgtError
from sgt.identity import Identity
from sgt.proxies.base import Proxy
from sgt.proxies.render import encode_target, proxy_with

log = logging.getLogger("sgt")
GAP = 6
TITLE = 20
INK, PAPER = (30, 30, 30), (255, 255, 255)

Columns = dict[str, Image.Image]


def draw_sheet(proxies: dict[str, Proxy], shard: Path, out: Path, count: int, side: int, seed: int) -> None:
    """Draw the first samples of a shard with their targets.

    Args:
        proxies: by the names they have on the sheet; those whose needs a sample lacks are left out, with a warning.
        shard: of images with annotations.
        out: PNG file.
        count: samples, from the first.
        side: longest side of a picture, pixels.
        seed: of the degradations.

    Raises:
        SgtError: the shard or a sample is damaged, or there are none.
    """
    samples = list(islice(read_shard(shard), count))
    if not samples:
        raise SgtError(shard, "has no samples", "make or fetch the shard again")
    drawn = {name: proxy for name, proxy in proxies.items() if all(proxy.applies_to(sample) for sample in samples)}
    for name in proxies:
        if name not in drawn:
            log.warning("%s: left out, samples of %s lack %s", name, shard, " or ".join(proxies[name].needs))
    rows = [pictures(sample, drawn, np.random.default_rng([seed, place])) for place, sample in enumerate(samples)]
    with atomic_path(out) as temporary:
        contact_sheet(rows, side).save(temporary, "PNG")


def contact_sheet_identity(proxies: dict[str, Proxy], shard_sha256: str) -> Identity:
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
