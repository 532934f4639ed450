"""Segmentation targets of photographs with many masks: images per second on one core, from annotations to PNG bytes.

The baseline decodes every mask with pycocotools, paints it over the image, and writes the PNG with Pillow. Also
measured: how the time grows with the number of masks, the size of the image and the number of samples. The other
proxies are in ``perf/render_proxies.py``.

Run as ``python -m perf.render [IMAGES]`` from the repository root; with ``--ratio``, the ratio alone is measured.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as coco
from scipy.ndimage import gaussian_filter, zoom

from sgt.data.images import encode_jpeg
from sgt.data.shards import Sample, ShardWriter
from sgt.proxies import PROXIES
from sgt.proxies.render import encode_target, render_shard, target_of

SIZE, MASKS = (1024, 1536), 100
PROXY = PROXIES["segmentation"]


def photograph(height: int, width: int, masks: int, seed: int) -> Sample:
    """A smooth random image with masks like those of SA-1B: irregular, overlapping, a few large and most small."""
    rng = np.random.default_rng(seed)
    pixels = np.stack([zoom(gaussian_filter(rng.random((64, 64)), 2), (height / 64, width / 64), order=1)] * 3, axis=-1)
    annotations = []
    rows, columns = np.mgrid[0:height, 0:width]
    for number in range(masks):
        radius = min(height, width) * np.exp(rng.uniform(np.log(0.015), np.log(0.25)))
        y, x = rng.uniform(0, height), rng.uniform(0, width)
        top, left = max(0, int(y - 2 * radius)), max(0, int(x - 2 * radius))
        part = np.s_[top : int(y + 2 * radius) + 1, left : int(x + 2 * radius) + 1]
        dy, dx = rows[part] - y, columns[part] - x
        angle, border = np.arctan2(dy, dx), np.ones(dx.shape)
        for wave in range(2, 40):
            border += 0.4 / wave * np.sin(wave * angle + rng.uniform(0, 2 * np.pi))
        mask = np.zeros((height, width), np.uint8, order="F")
        mask[part] = np.hypot(dy, dx) < radius * border
        code = coco.encode(mask)
        segmentation = {"size": [height, width], "counts": code["counts"].decode()}
        annotations.append({"id": number, "bbox": coco.toBbox(code).tolist(), "segmentation": segmentation})
    files = {
        "jpg": encode_jpeg(np.uint8(255 * pixels / pixels.max())),
        "json": json.dumps({"annotations": annotations}).encode(),
    }
    return Sample(Path("benchmark"), f"sa_{seed}", files)


def painted_one_by_one(sample: Sample) -> bytes:
    """The baseline: the PNG of a target whose masks are decoded and painted one by one."""
    annotations = sorted(replace(sample).json()["annotations"], key=lambda each: -int(coco.area(each["segmentation"])))
    height, width = annotations[0]["segmentation"]["size"]
    pixels = np.zeros((height, width), np.uint8)
    for number, annotation in enumerate(annotations):
        pixels[coco.decode(annotation["segmentation"]).astype(bool)] = number % 20 + 1
    with tempfile.SpooledTemporaryFile() as file:
        image = Image.fromarray(pixels)
        image.putpalette([value for entry in PROXY.palette for value in entry])
        image.save(file, "PNG")
        file.seek(0)
        return file.read()


def ours(sample: Sample) -> bytes:
    """The PNG of a target as ``sgt render`` makes it, including the check of the image."""
    # A copy whose annotations are not parsed yet.
    return encode_target(target_of(PROXY, replace(sample)))


def seconds(*ways: Callable[[], object], rounds: int = 3) -> list[float]:
    """Processor time of each way, since other work on the machine must not count: the fastest of some rounds, in which
    the ways take turns."""
    times: list[list[float]] = [[] for _ in ways]
    for _ in range(rounds):
        for way, taken in zip(ways, times, strict=True):
            began = time.process_time()
            way()
            taken.append(time.process_time() - began)
    return [min(taken) for taken in times]


def main(words: Sequence[str] | None = None) -> None:
    """Print the ratio, then the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", nargs="?", type=int, default=8)
    parser.add_argument("--ratio", action="store_true", help="only compare with the baseline")
    args = parser.parse_args(words)
    count = args.images
    samples = [photograph(*SIZE, MASKS, seed) for seed in range(count)]
    slow, fast = seconds(
        lambda: [painted_one_by_one(sample) for sample in samples], lambda: [ours(sample) for sample in samples]
    )
    print(f"{SIZE[1]}x{SIZE[0]}, {MASKS} masks, images/s: {count / slow:.1f} one by one, {count / fast:.1f} ours")
    print(f"ratio {slow / fast:.1f}")
    if not args.ratio:
        tables(samples)


def tables(samples: list[Sample]) -> None:
    """Print where the time goes, and how it grows."""
    count = len(samples)
    targets = [target_of(PROXY, sample) for sample in samples]
    whole, png = seconds(
        lambda: [ours(sample) for sample in samples], lambda: [encode_target(target) for target in targets]
    )
    size = len(ours(samples[0])) / 1e3
    print(f"of {1e3 * whole / count:.1f} ms, the PNG takes {1e3 * png / count:.1f}; it is {size:.0f} kB")
    for masks in (25, 50, 100, 200, 400):
        (duration,) = seconds(partial(ours, photograph(*SIZE, masks, 0)))
        print(f"{masks:4} masks: {1e3 * duration:6.1f} ms, {1e6 * duration / masks:6.0f} us/mask")
    for factor in (0.25, 0.5, 1, 2):
        height, width = (round(side * factor) for side in SIZE)
        (duration,) = seconds(partial(ours, photograph(height, width, MASKS, 0)))
        print(f"{width:4}x{height:4}: {1e3 * duration:6.1f} ms, {1e9 * duration / (height * width):6.1f} ns/pixel")
    with tempfile.TemporaryDirectory() as folder:
        for number in (4, 16, 64):
            source = Path(folder) / "source.tar"
            with ShardWriter(source) as shard:
                for place in range(number):
                    shard.add(f"key-{place}", samples[place % count].files)
            (duration,) = seconds(partial(render_shard, PROXY, source, Path(folder) / "targets.tar", 0.0))
            print(f"{number:3} samples: {1e3 * duration / number:6.1f} ms each")


if __name__ == "__main__":
    main()
