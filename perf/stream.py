"""Streaming the samples of a shard from the page cache, on one core, beside two plain ways with Python's ``tarfile``.

``tarfile`` reads each member of the file; the way of ``webdataset`` reads the tar as a stream and groups its members by
key, which gives the samples that ``read_shard`` gives. Each ratio is that of processor seconds.

Run as ``python -m perf.stream [SAMPLES]`` from the repository root.
"""

import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from sgt.data.shards import ShardWriter, read_shard

IMAGE_BYTES, RECORD_BYTES = 450_000, 150_000
REPEATS = 5


def with_tarfile(path: Path) -> int:
    """Number of bytes of all members, read with the standard library."""
    with tarfile.open(path, "r:") as tar:
        return sum(len(tar.extractfile(member).read()) for member in tar)


def as_webdataset_does(path: Path) -> Iterator[dict]:
    """Samples as webdataset makes them (``tar_file_iterator`` and ``group_by_keys``), without its checks of options."""
    sample: dict = {}
    with open(path, "rb") as file, tarfile.open(fileobj=file, mode="r|*") as tar:
        for member in tar:
            if not member.isreg() or member.name is None:
                continue
            key, _, extension = member.name.partition(".")
            if sample.get("__key__") != key:
                if sample:
                    yield sample
                sample = {"__key__": key, "__url__": str(path)}
            sample[extension.lower()] = tar.extractfile(member).read()
            tar.members = []
    if sample:
        yield sample


def with_webdataset(path: Path) -> int:
    """Number of bytes of all members, read as samples of webdataset."""
    return sum(
        len(content) for sample in as_webdataset_does(path) for name, content in sample.items() if name[0] != "_"
    )


def with_sgt(path: Path) -> int:
    """Number of bytes of all members, read as samples."""
    return sum(len(content) for sample in read_shard(path) for content in sample.files.values())


def seconds(ways: tuple[Callable[[Path], int], ...], path: Path) -> list[float]:
    """Processor time of the fastest of ``REPEATS`` readings in each way, which take turns.

    Raises:
        AssertionError: they read different numbers of bytes.
    """
    times: list[list[float]] = [[] for _ in ways]
    for _ in range(REPEATS):
        read = set()
        for way, taken in zip(ways, times, strict=True):
            began = time.process_time()
            read.add(way(path))
            taken.append(time.process_time() - began)
        assert len(read) == 1, read
    return [min(taken) for taken in times]


def main(words: Sequence[str] | None = None) -> None:
    """Print rates and ratios, for photographs with masks, smaller images, and small scenes."""
    given = sys.argv[1:] if words is None else words
    samples = int(given[0]) if given else 1000
    content = np.random.default_rng(0).bytes(IMAGE_BYTES)
    with tempfile.TemporaryDirectory() as folder:
        for share in (1, 4, 100):
            path = Path(folder) / "shard.tar"
            # As many small samples as take a time that can be measured.
            count = samples * min(share, 10)
            with ShardWriter(path) as shard:
                for number in range(count):
                    files = {"jpg": content[: IMAGE_BYTES // share], "json": content[: RECORD_BYTES // share]}
                    shard.add(f"sa_{number}", files)
            size = (IMAGE_BYTES + RECORD_BYTES) // share
            standard, webdataset, ours = seconds((with_tarfile, with_webdataset, with_sgt), path)
            print(
                f"{count} samples of {size // 1000} kB: {count * size / ours / 1e9:.2f} GB/s, "
                f"{1e6 * ours / count:.1f} us per sample; tarfile {1e6 * standard / count:.1f}, "
                f"as webdataset {1e6 * webdataset / count:.1f}; ratios {standard / ours:.2f}, {webdataset / ours:.2f}"
            )


if __name__ == "__main__":
    main()
