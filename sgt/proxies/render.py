"""Rendering the targets of one shard."""

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

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
from sgt.proxies.targets_report import TargetsReport

AnySample = TypeVar("AnySample", bound=Sample)


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


def require_downloads(proxies: Iterable[Proxy]) -> None:
    """See that the models are there that proxies take, before anything is rendered.

    Raises:
        SgtError: the folder of one is not there.
    """
    for folder in (Path(name) for proxy in proxies for name in proxy.downloads):
        if not folder.is_dir():
            raise SgtError(folder, "no such folder", f"run `sgt fetch {folder.name}`, or name the folder of the model")


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


def render_shard(proxy: Proxy, source: Path, out: Path, max_bad: float) -> None:
    """Write the targets of a shard and a report of them.

    Raises:
        SgtError: the shard is unreadable, or a larger share than ``max_bad`` of its samples had to be refused.
    """
    report, source_sha256 = TargetsReport(), sha256(source)
    progress = Progress("targets", len({member.key for member in scan_shard(source)}))
    with ShardWriter(out) as shard:
        for sample, files in rendered(proxy, read_shard(source), report, progress):
            shard.add(sample.key, files)
        if not report.seen:
            raise SgtError(source, "holds no samples", "make the shard again")
        report.check_refused(max_bad)
        # The report of earlier targets must not count for those that replace them now.
        out.with_suffix(".json").unlink(missing_ok=True)
    report.log_left_out(source)
    write_json(
        out.with_suffix(".json"),
        {
            "identity": targets_identity(proxy, source_sha256),
            "proxy": proxy.name,
            "options": proxy.options.model_dump(mode="json", exclude={"task"}),
            "source": source.name,
            "source_sha256": source_sha256,
            "sha256": sha256(out),
            **report.fields(),
        },
    )


def rendered(
    proxy: Proxy, samples: Iterable[AnySample], report: TargetsReport, progress: Progress
) -> Iterator[tuple[AnySample, dict[str, bytes]]]:
    """Each sample with the file of its target: ``png``, or ``jpg`` with the image's own file if that is the target.

    A sample that cannot be rendered is counted in the report.
    """
    for pairs in _batches(_with_image(proxy, samples, report), proxy.batch_size):
        batch, images = zip(*pairs, strict=True)
        for sample, image, target in zip(batch, images, proxy.render_batch(images, batch), strict=True):
            if isinstance(target, SgtError):
                report.refuse(sample, target)
                continue
            yield sample, {"jpg": sample.image} if target is image else {"png": encode_target(target)}
            report.add(sample, target, proxy.left_out(image, sample))
        progress.add(len(batch))


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


def _with_image(
    proxy: Proxy, samples: Iterable[AnySample], report: TargetsReport
) -> Iterator[tuple[AnySample, Image.Image]]:
    for sample in samples:
        report.seen += 1
        try:
            image = input_of(proxy, sample)
        except SgtError as error:
            report.refuse(sample, error)
        else:
            yield sample, image


def _batches(values: Iterator, size: int) -> Iterator[list]:
    while batch := list(islice(values, size)):
        yield batch
