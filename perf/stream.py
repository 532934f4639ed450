"""Speed of streaming a shard from the page cache, compared with ``tarfile`` on the same members.

Run as ``python perf/stream.py [SAMPLES]`` from the repository root.
"""

import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sgt.data.shards import ShardWriter, read_shard

IMAGE_BYTES, RECORD_BYTES = 450_000, 150_000
REPEATS = 5


def with_tarfile(path: Path) -> int:
    """Number of bytes of all members, read with the standard library."""
    with tarfile.open(path, "r:") as tar:
        return sum(len(tar.extractfile(member).read()) for member in tar)


def with_sgt(path: Path) -> int:
    """Number of bytes of all members, read as samples."""
    return sum(len(content) for sample in read_shard(path) for content in sample.files.values())


def gigabytes_per_second(read: Callable[[Path], int], path: Path) -> float:
    """The best rate of ``REPEATS`` readings."""
    rates = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        total = read(path)
        rates.append(total / (time.perf_counter() - began) / 1e9)
    return max(rates)


def main() -> None:
    """Print both rates and their ratio, for photographs with masks and for small records."""
    samples = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    content = np.random.default_rng(0).bytes(IMAGE_BYTES)
    with tempfile.TemporaryDirectory() as folder:
        for share in (1, 4, 100):
            path = Path(folder) / "shard.tar"
            with ShardWriter(path) as shard:
                for number in range(samples):
                    files = {"jpg": content[: IMAGE_BYTES // share], "json": content[: RECORD_BYTES // share]}
                    shard.add(f"sa_{number}", files)
            standard, ours = (gigabytes_per_second(read, path) for read in (with_tarfile, with_sgt))
            size = (IMAGE_BYTES + RECORD_BYTES) // share // 1000
            print(
                f"{samples} samples of {size} kB: tarfile {standard:.2f} GB/s, ours {ours:.2f}, x{ours / standard:.2f}"
            )


if __name__ == "__main__":
    main()
