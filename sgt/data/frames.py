"""Videos as folders of their frames, each an image."""

import re
from collections.abc import Sequence
from pathlib import Path


def frames_of_videos(folder: Path) -> dict[str, list[str]]:
    """The names of the frames in each folder below this one, in the order of the numbers in their names."""
    found: dict[str, list[str]] = {}
    for path in folder.rglob("*"):
        if path.suffix.lower() in (".jpg", ".jpeg", ".png") and path.is_file():
            found.setdefault(path.parent.relative_to(folder).as_posix(), []).append(path.name)
    return {
        name: sorted(files, key=lambda file: [*map(int, re.findall(r"\d+", file))]) for name, files in found.items()
    }


def evenly_spaced(frames: Sequence[str], count: int) -> list[str]:
    """So many of a video's n frames: those at floor(i·n / (count + 1)), from 0, for i from 1 to count.

    A video that is shorter has some of them twice.
    """
    return [frames[place * len(frames) // (count + 1)] for place in range(1, count + 1)]
