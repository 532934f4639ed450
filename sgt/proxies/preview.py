"""A contact sheet of samples, a row per sample: the image, degraded inputs, and each target."""

import json
import logging
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from sgt.atomic import atomic_path
from sgt.data.images import decode_target, image_of
from sgt.data.pictures import Picture
from sgt.data.shards import Sample
from sgt.errors import SgtError
from sgt.identity import Identity
from sgt.proxies.base import Proxy
from sgt.proxies.contact_sheet import Row, contact_sheet, fitted
from sgt.proxies.render import encode_target, proxy_from

log = logging.getLogger("sgt")
# Longest side of pictures that come without annotations, pixels: the targets of a photograph at its full size would
# take minutes and gigabytes, for a sheet that shows a fraction of the pixels.
_LONGEST = 1024


def draw_sheet(
    proxies: dict[str, Proxy], source: Iterable[Sample], name: object, out: Path, count: int, side: int, seed: int
) -> None:
    """Draw the first samples of a shard, or of pictures, with their targets.

    Pictures larger than ``_LONGEST`` and ``side`` are reduced before their targets are rendered.

    Args:
        proxies: by the titles of their columns; those whose needs a sample lacks are left out, with a warning.
        source: samples, with annotations where proxies need them.
        name: of the source, for messages.
        out: PNG file.
        count: number of samples, from the first.
        side: longest side of an image, pixels.
        seed: of the degradations.

    Raises:
        SgtError: the source or a sample is damaged, or there is no sample.
    """
    samples = list(islice(source, count))
    if not samples:
        raise SgtError(name, "has no samples", "make or fetch the shard again")
    drawn = {title: proxy for title, proxy in proxies.items() if all(proxy.applies_to(sample) for sample in samples)}
    for title in proxies:
        if title not in drawn:
            log.warning("%s: left out, samples of %s lack %s", title, name, " or ".join(proxies[title].needs))
    rows = []
    for index, sample in enumerate(samples):
        image = image_of(sample)
        if isinstance(sample, Picture):
            image.thumbnail((max(_LONGEST, side),) * 2)
        row = row_of(image, sample, drawn, np.random.default_rng([seed, index]))
        # Reduced one by one: photographs with all their targets, several samples of them, can exceed the memory.
        rows.append({title: fitted(image, side) for title, image in row.items()})
    with atomic_path(out) as temporary:
        contact_sheet(rows, side).save(temporary, "PNG")


def contact_sheet_identity(proxies: dict[str, Proxy], source_sha256: str) -> Identity:
    """What decides a contact sheet: the samples, and the proxies by the titles of their columns."""
    return {"shard": source_sha256, "proxies": {name: proxy.identity for name, proxy in proxies.items()}}


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


def row_of(image: Image.Image, sample: Sample, proxies: dict[str, Proxy], rng: np.random.Generator) -> Row:
    """The image of a sample, the input of each degrading proxy, and the targets, by column title."""
    row = {"input": image}
    for name, proxy in proxies.items():
        if proxy.degrades:
            row[f"{name}: shown"] = proxy.condition(image, rng)
        target = proxy.render(image, sample)
        row[name] = decode_target(encode_target(target), name).convert("RGB")
    return row
