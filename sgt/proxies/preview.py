"""A contact sheet of one shard, a row per sample: the image, degraded inputs, and each target."""

import json
import logging
from itertools import islice
from pathlib import Path

import numpy as np

from sgt.atomic import atomic_path
from sgt.data.images import decode_target, image_of
from sgt.data.shards import Sample, read_shard
from sgt.errors import SgtError
from sgt.identity import Identity
from sgt.proxies.base import Proxy
from sgt.proxies.contact_sheet import Row, contact_sheet
from sgt.proxies.render import encode_target, proxy_from

log = logging.getLogger("sgt")


def draw_sheet(proxies: dict[str, Proxy], shard: Path, out: Path, count: int, side: int, seed: int) -> None:
    """Draw the first samples of a shard with their targets.

    Args:
        proxies: by the titles of their columns; those whose needs a sample lacks are left out, with a warning.
        shard: of images with annotations.
        out: PNG file.
        count: number of samples, from the first.
        side: longest side of an image, pixels.
        seed: of the degradations.

    Raises:
        SgtError: the shard or a sample is damaged, or the shard is empty.
    """
    samples = list(islice(read_shard(shard), count))
    if not samples:
        raise SgtError(shard, "has no samples", "make or fetch the shard again")
    drawn = {name: proxy for name, proxy in proxies.items() if all(proxy.applies_to(sample) for sample in samples)}
    for name in proxies:
        if name not in drawn:
            log.warning("%s: left out, samples of %s lack %s", name, shard, " or ".join(proxies[name].needs))
    rows = [row_of(sample, drawn, np.random.default_rng([seed, index])) for index, sample in enumerate(samples)]
    with atomic_path(out) as temporary:
        contact_sheet(rows, side).save(temporary, "PNG")


def contact_sheet_identity(proxies: dict[str, Proxy], shard_sha256: str) -> Identity:
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
