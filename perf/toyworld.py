"""Speed of making scenes: scenes per second with one and with two processes, and their ratio.

Run as ``python perf/toyworld.py [SCENES]`` from the repository root.
"""

import sys
import tempfile
import time
from pathlib import Path

from sgt.config.datasets import Toyworld
from sgt.data.toyworld.make import make_dataset


def scenes_per_second(scenes: int, workers: int) -> float:
    """Rate of making a dataset of 48-pixel scenes in four shards, including start-up and manifest."""
    spec = Toyworld(source="toyworld", split="validation", scenes=scenes, per_shard=-(-scenes // 4))
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        make_dataset(Path(folder), spec, workers)
        return scenes / (time.perf_counter() - started)


def main() -> None:
    """Print the two rates."""
    scenes = int(sys.argv[1]) if len(sys.argv) > 1 else 1200
    one, two = (scenes_per_second(scenes, workers) for workers in (1, 2))
    print(f"{scenes} scenes: {one:.0f}/s on 1 process, {two:.0f}/s on 2 processes, ratio {two / one:.2f}")


if __name__ == "__main__":
    main()
