"""Images per second on one core of every proxy that needs no model, and where their time goes.

Decoding is that of the input image (or its check, where pixels are not read), rendering makes the target, encoding
writes it as PNG; a target that is the image itself is not encoded. Degrading makes the input that a model gets, in
training, and is no part of rendering targets. Run as ``python -m perf.render_proxies [IMAGES]`` from the repository
root.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from perf.render import MASKS, SIZE, photograph, seconds
from sgt.data.images import encode_png, image_of
from sgt.data.shards import Sample
from sgt.proxies import PROXIES
from sgt.proxies.base import Proxy
from sgt.proxies.render import encode_target, input_of


def with_depth(sample: Sample, seed: int) -> Sample:
    """A photograph with a smooth depth of 1 to 5 metres, which is unknown in a corner."""
    coarse = gaussian_filter(np.random.default_rng(seed).random((64, 64)), 4)
    depth = zoom(coarse, (SIZE[0] / 64, SIZE[1] / 64), order=1)
    millimetres = np.interp(depth, (depth.min(), depth.max()), (1000, 5000)).astype(np.uint16)
    millimetres[:100, :100] = 0
    return replace(sample, files={**sample.files, "depth.png": encode_png(millimetres)})


def line(proxy: Proxy, samples: list[Sample]) -> str:
    """Rate and milliseconds of each step, per image."""
    images = [input_of(proxy, sample) for sample in samples]
    targets = [proxy.render(image, sample) for image, sample in zip(images, samples, strict=True)]
    pixels, rng = [image_of(sample) for sample in samples], np.random.default_rng(0)

    def decode() -> None:
        for sample in samples:
            input_of(proxy, sample)

    def render() -> None:
        for image, sample in zip(images, samples, strict=True):
            proxy.render(image, replace(sample))

    def encode() -> None:
        for image, target in zip(images, targets, strict=True):
            if target is not image:
                encode_target(target)

    def degrade() -> None:
        for image in pixels:
            proxy.condition(image, rng)

    decoding, rendering, encoding, degrading = (
        1e3 * taken / len(samples) for taken in seconds(decode, render, encode, degrade)
    )
    return (
        f"{proxy.name}: {1e3 / (decoding + rendering + encoding):.1f} images/s; decoding {decoding:.1f} ms, "
        f"rendering {rendering:.1f}, encoding {encoding:.1f}; degrading {degrading:.1f}"
    )


def main(words: Sequence[str] | None = None) -> None:
    """Print one line per proxy."""
    given = sys.argv[1:] if words is None else words
    count = int(given[0]) if given else 2
    samples = [with_depth(photograph(*SIZE, MASKS, seed), seed) for seed in range(count)]
    print(f"{SIZE[1]}x{SIZE[0]}, {MASKS} masks")
    for proxy in PROXIES.values():
        if not proxy.needs_classes and {*proxy.needs} <= {"json", "depth.png"}:
            print(line(proxy, samples), flush=True)


if __name__ == "__main__":
    main()
