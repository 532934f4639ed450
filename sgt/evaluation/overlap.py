"""Images of COCO that a run was trained on and a benchmark asks about.

COCO's 2014 and 2017 editions number the same images alike, so that val2014 of one benchmark is train2017 of a proxy.
"""

import re
from collections.abc import Iterable

from sgt.data.dataset import open_dataset
from sgt.data.manifest import MANIFEST
from sgt.evaluation.task import Row, Task
from sgt.study.loaded import LoadedStudy
from sgt.study.runs import Run

_NUMBER = re.compile(r"(\d{12})(?:\.\w+)?$")


def coco_number(name: str) -> int | None:
    """The number of an image of COCO, by its file's name of any edition; None for another name."""
    match = _NUMBER.search(name)
    return int(match[1]) if match else None


def trained_on(study: LoadedStudy, run: Run) -> set[int] | None:
    """Numbers of the images of COCO that a run's proxy was rendered from; of a transplant, those of both its runs.

    Returns:
        None if the run has no proxy, another dataset than COCO, or one that is not there any more.
    """
    if run in study.transplant_runs:
        seen = [trained_on(study, each) for each in study.transplanted(run)]
        known = [numbers for numbers in seen if numbers is not None]
        return set.union(*known) if known else None
    if run.proxy is None:
        return None
    subset = study.image_subset(run.proxy)
    folder = study.dataset_dir(subset.dataset)
    if study.study.datasets[subset.dataset].source != "coco" or not (folder / MANIFEST).exists():
        return None
    numbers = map(coco_number, open_dataset(folder).first(subset.limit).each_key())
    return {number for number in numbers if number is not None}


def overlap(task: Task, rows: Iterable[Row], seen: set[int] | None) -> dict[str, int] | None:
    """How many images of COCO a benchmark asks about, and how many of these a run was trained on.

    Returns:
        ``images`` and ``trained_on``; None if either has no images of COCO.
    """
    names = (task.coco_image(row) for row in rows)
    images = {coco_number(name) for name in names if name is not None} - {None}
    if seen is None or not images:
        return None
    return {"images": len(images), "trained_on": len(images & seen)}
