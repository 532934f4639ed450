"""Rendering the targets of one shard."""

import json
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydantic import ValidationError

from sgt.atomic import sha256, write_json
from sgt.data.images import checked_image, decode_image, decode_target, encode_png, image_of
from sgt.data.png import encode_palette_png
from sgt.data.shards import Sample, ShardWriter, read_shard, scan_shard
from sgt.errors import SgtError
from sgt.identity import UNKNOWN, Identity
from sgt.json_files import json_fields
from sgt.progress import Progress
from sgt.proxies import PROXIES, make_proxy, proxy_options
from sgt.proxies.base import Proxy

log = logging.getLogger("sgt")
# Keys of refused samples in an error message.
_MAX_KEYS = 5


def proxy_named(name: str) -> Proxy:
    """A registered proxy with its default options.

    Raises:
        SgtError: there is none of this name.
    """
    if name not in PROXIES:
        raise SgtError(name, "unknown proxy", f"use one of {', '.join(PROXIES)}")
    return PROXIES[name]


def proxy_with(name: str, options: str) -> Proxy:
    """A registered proxy with options given as a JSON object.

    Raises:
        SgtError: there is no such proxy, or it has no such options.
    """
    proxy_named(name)
    try:
        mapping = {**json.loads(options), "task": name}
    except (ValueError, TypeError) as error:
        raise SgtError("--options", f"not a JSON object ({error})", "give one, or leave it out") from None
    return proxy_from(mapping)


def proxy_from(mapping: dict[str, Any]) -> Proxy:
    """The proxy of a mapping with ``task`` and its options, given as ``--options``.

    Raises:
        SgtError: the task is missing or unknown, or it has no such options.
    """
    try:
        return make_proxy(proxy_options(mapping))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        task, *field = map(str, first["loc"])
        problem = f"{first['msg'].removeprefix('Value error, ')}, got {first['input']!r}"
        where = " ".join(["--options", ".".join(field)]).strip()
        raise SgtError(where, problem, f"see `sgt schema` for the options of {task}") from None
    except ValueError as error:
        problem, _, remedy = str(error).partition(": ")
        raise SgtError("--options", problem, remedy) from None


def input_of(proxy: Proxy, sample: Sample) -> Image.Image:
    """The image of a sample, or a blank one of its size if the proxy does not read pixels.

    Raises:
        SgtError: the image is damaged, whether its pixels are read or not.
    """
    if proxy.reads_pixels:
        return image_of(sample)
    return Image.new("L", checked_image(sample.image, sample.image_name).size)


def target_of(proxy: Proxy, sample: Sample) -> Image.Image:
    """The target of one stored sample, as :func:`read_target` gives it: of 16 bits, the upper eight."""
    target = proxy.render(input_of(proxy, sample), sample)
    if not target.mode.startswith("I;16"):
        return target
    return decode_target(encode_target(target), f"target of {sample.shard}: {sample.key}")


def read_target(rendered: Sample) -> Image.Image:
    """The target in a shard of targets: a palette image if it is one, otherwise RGB."""
    if "jpg" in rendered.files:
        return decode_image(rendered.get("jpg"), f"{rendered.shard}: {rendered.key}.jpg")
    return decode_target(rendered.get("png"), f"{rendered.shard}: {rendered.key}.png")


def encode_target(target: Image.Image) -> bytes:
    """PNG bytes of a target."""
    palette = target.getpalette() if target.mode == "P" else None
    if palette is None:
        return encode_png(target)
    return encode_palette_png(np.asarray(target), np.reshape(palette, (-1, 3)))


@dataclass
class _Report:
    """Counts for the report of a shard of targets.

    Attributes:
        seen: samples in the source.
        masks: of each rendered sample with annotations, how many of them are in the target.
        left_out: annotations without area, by kind.
        covered: of each target, the share of pixels that are not black; for masks, the share that objects cover.
        refused: key and error of each sample that cannot be rendered.
    """

    seen: int = 0
    masks: list[int] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    covered: list[float] = field(default_factory=list)
    refused: list[tuple[str, SgtError]] = field(default_factory=list)

    def refuse(self, sample: Sample, error: SgtError) -> None:
        """Count a sample that cannot be rendered."""
        log.warning("refused %s", error)
        self.refused.append((sample.key, error))

    def add(self, sample: Sample, target: Image.Image, left_out: Counter[str]) -> None:
        """Count a rendered target."""
        self.left_out += left_out
        pixels = np.asarray(target)
        self.covered.append(float((pixels.any(axis=2) if pixels.ndim == 3 else pixels > 0).mean()))
        if (annotations := _annotations(sample)) is not None:
            self.masks.append(len(annotations) - left_out.total())


def render_shard(proxy: Proxy, source: Path, out: Path, max_bad: float) -> None:
    """Write the targets of a shard and a report of them.

    Raises:
        SgtError: the shard is unreadable, or a larger share than ``max_bad`` of its samples had to be refused.
    """
    report, source_sha256 = _Report(), sha256(source)
    progress = Progress("targets", len({member.key for member in scan_shard(source)}))
    with ShardWriter(out) as shard:
        for pairs in _batches(_with_image(proxy, source, report), proxy.batch_size):
            samples, images = zip(*pairs, strict=True)
            for sample, image, target in zip(samples, images, proxy.render_batch(images, samples), strict=True):
                if isinstance(target, SgtError):
                    report.refuse(sample, target)
                    continue
                # Of a target that is the image itself, the file is kept as it is.
                files = {"jpg": sample.image} if target is image else {"png": encode_target(target)}
                shard.add(sample.key, files)
                report.add(sample, target, proxy.left_out(image, sample))
            progress.add(len(samples))
        if not report.seen:
            raise SgtError(source, "holds no samples", "make the shard again")
        if len(report.refused) > max_bad * report.seen:
            first = report.refused[0][1]
            more = ", …" if len(report.refused) > _MAX_KEYS else ""
            keys = ", ".join(key for key, _ in report.refused[:_MAX_KEYS]) + more
            problem = f"{first.problem} ({len(report.refused)} of {report.seen} samples refused: {keys})"
            raise SgtError(first.where, problem, "fix it, or allow more in data.max_bad (--max-bad)")
    if report.left_out:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(report.left_out.items()))
        log.warning("%s: annotations without area are left out: %s", source, kinds)
    write_json(
        out.with_suffix(".json"),
        {
            "identity": targets_identity(proxy, source_sha256),
            "proxy": proxy.name,
            "options": proxy.options.model_dump(mode="json", exclude={"task"}),
            "source": source.name,
            "source_sha256": source_sha256,
            "sha256": sha256(out),
            "images": shard.count,
            "masks_per_image": _mean(report.masks),
            "images_without_masks": report.masks.count(0),
            "left_out": dict(sorted(report.left_out.items())),
            "covered": _mean(report.covered),
            "refused": [{"key": key, "reason": str(error)} for key, error in report.refused],
        },
    )


def targets_identity(proxy: Proxy, source_sha256: str) -> Identity:
    """What decides a shard of targets: the proxy with its options, and the shard of images."""
    return {"proxy": proxy.identity, "source": source_sha256}


def target_content(shard: Path) -> str:
    """SHA-256 of a shard of targets from the report beside it; ``UNKNOWN`` if there is no report.

    Raises:
        SgtError: the report is damaged.
    """
    try:
        with json_fields(shard.with_suffix(".json"), "a report of targets", "delete it to render them again") as report:
            return report["sha256"]
    except FileNotFoundError:
        return UNKNOWN


def _with_image(proxy: Proxy, source: Path, report: _Report) -> Iterator[tuple[Sample, Image.Image]]:
    for sample in read_shard(source):
        report.seen += 1
        try:
            image = input_of(proxy, sample)
        except SgtError as error:
            report.refuse(sample, error)
        else:
            yield sample, image


def _annotations(sample: Sample) -> list | None:
    """A sample's annotations; None if it has no list of them. A damaged record is no error here, since the proxy may
    not need it."""
    try:
        listed = sample.json().get("annotations") if "json" in sample.files else None
    except SgtError:
        return None
    return listed if isinstance(listed, list) else None


def _batches(values: Iterator, size: int) -> Iterator[list]:
    while batch := list(islice(values, size)):
        yield batch


def _mean(values: Sequence[float]) -> float | None:
    return round(float(np.mean(values)), 6) if values else None
