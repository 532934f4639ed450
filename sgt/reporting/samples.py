"""Sheets of what the arms made: their own targets, and scenes from captions."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from sgt.config.benchmarks import ImageBenchmark
from sgt.data.dataset import open_dataset
from sgt.data.images import decode_image, image_of
from sgt.data.shards import Sample, read_shard
from sgt.errors import SgtError
from sgt.evaluation.treatment import read_treatment
from sgt.proxies.contact_sheet import contact_sheet
from sgt.study.loaded import LoadedStudy
from sgt.study.runs import Run

ROWS = 6
# The least side of a cell, pixels; it grows to a multiple of the scenes' side, so that their pixels stay square.
SIDE = 96
# Inches of a cell, and of a line of titles, in vector files.
CELL, LINE = 0.8, 0.14

Rows = list[dict[str, Image.Image]]


@dataclass(frozen=True)
class Sheet:
    """Rows of images with titles above their columns, a part per model."""

    parts: list[Rows]

    def image(self) -> Image.Image:
        """The parts one above the other, each pixel of an image a square of as many as fit its cell."""
        parts = [contact_sheet(rows, _side(rows)) for rows in self.parts]
        whole = Image.new("RGB", (max(part.width for part in parts), sum(part.height for part in parts)), "white")
        for index, part in enumerate(parts):
            whole.paste(part, (0, sum(above.height for above in parts[:index])))
        return whole

    def figure(self) -> Figure:
        """The same for vector files: titles are text, and images keep their own pixels."""
        heads = [LINE * (1.5 + max(title.count("\n") for title in rows[0])) for rows in self.parts]
        width = CELL * max(len(rows[0]) for rows in self.parts)
        height = sum(head + CELL * len(rows) for head, rows in zip(heads, self.parts, strict=True))
        figure = plt.figure(figsize=(width, height))
        axis = figure.add_axes((0, 0, 1, 1))
        axis.set_axis_off()
        top = 0.0
        for head, rows in zip(heads, self.parts, strict=True):
            for column, title in enumerate(rows[0]):
                middle = (column + 0.5) * CELL
                axis.text(middle, top + head / 2, title, size=_points_of(title), ha="center", va="center")
                for index, row in enumerate(rows):
                    _show(axis, row[title], middle, top + head + (index + 0.5) * CELL)
            top += head + CELL * len(rows)
        axis.set(xlim=(0, width), ylim=(height, 0), aspect="auto")
        return figure


def _side(rows: Rows) -> int:
    longest = max(next(iter(rows[0].values())).size)
    return -(-SIDE // longest) * longest if longest < SIDE else SIDE


def _points_of(title: str) -> float:
    """Size of a title's letters, at which it fits a cell: a letter is about half as wide as it is high."""
    return min(8.0, 72 * CELL / (0.56 * max(map(len, title.split("\n")))))


def _show(axis: plt.Axes, image: Image.Image, x: float, y: float) -> None:
    """Draw an image into the cell with this middle, in inches."""
    scale = 0.94 * CELL / max(image.size) / 2
    half_x, half_y = image.width * scale, image.height * scale
    extent = (x - half_x, x + half_x, y + half_y, y - half_y)
    axis.imshow(image.convert("RGB"), extent=extent, interpolation="none")


def target_sheet(study: LoadedStudy) -> Sheet:
    """Per held-out scene and proxy arm of the first seed: the image the arm saw, the target, and what the arm made.

    Above what an arm made stands its use: whether it depends on the image.

    Raises:
        SgtError: the study has no held-out images, or there is none that every arm was checked on.
    """
    if study.held_out is None:
        raise SgtError(study.path, "no held-out images", "name a dataset in data.held_out")
    scenes = open_dataset(study.dataset_dir(study.held_out))
    drawn = [study.drawn_targets(run) for run in study.proxy_runs if run.seed == study.study.seeds[0]]
    # A proxy leaves out the images that it has no target for.
    of_all = set.intersection(*({sample.key for sample in read_shard(path)} for path in drawn))
    places = [place for place, key in enumerate(scenes.each_key()) if key in of_all][:ROWS]
    if not places:
        raise SgtError(
            study.dataset_dir(study.held_out), "no image that every proxy arm was checked on", "use a dataset with more"
        )
    keys = [scenes.key(place) for place in places]

    def columns(rows: Rows, run: Run) -> None:
        if not run.proxy:
            return
        proxy, use = study.proxy(run.proxy), read_treatment(study, run).use.value
        samples = {sample.key: sample for sample in read_shard(study.drawn_targets(run)) if sample.key in keys}
        for row, key in zip(rows, keys, strict=True):
            if proxy.degrades:
                row[f"{run.arm}\nshown"] = _picture(samples[key], "input.png")
            target = row[f"{run.arm}\ntarget"] = _picture(samples[key], "target.png")
            row[f"{run.arm}\nmade, use {use:.2f}"] = proxy.displayed(_picture(samples[key], "png"), target)

    return _sheet(study, "input", [image_of(scenes[place]) for place in places], columns)


def generated_sheet(study: LoadedStudy) -> Sheet:
    """Per caption: the scene it describes, and what each run of the first seed made of it."""
    benchmark = _benchmark(study)
    name, scenes = benchmark.name, open_dataset(study.dataset_dir(str(benchmark.dataset)))
    count = min(ROWS, benchmark.samples or len(scenes), len(scenes))

    def columns(rows: Rows, run: Run) -> None:
        for row, sample in _beside(rows, study.prediction_dir(run, name) / "images.tar"):
            row[run.arm] = _picture(sample, "png")

    return _sheet(study, "true scene", [image_of(scenes[place]) for place in range(count)], columns)


def _sheet(study: LoadedStudy, title: str, images: list[Image.Image], columns: Callable[[Rows, Run], None]) -> Sheet:
    """A part per model; the columns of its runs of the first seed stand beside the scenes."""
    parts = []
    for model in study.study.models:
        name = title if len(study.study.models) == 1 else f"{model}\n{title}"
        rows: Rows = [{name: image} for image in images]
        for run in study.runs:
            if run.model == model and run.seed == study.study.seeds[0]:
                columns(rows, run)
        parts.append(rows)
    return Sheet(parts)


def _benchmark(study: LoadedStudy) -> ImageBenchmark:
    """The benchmark whose scenes the sheets show.

    Raises:
        SgtError: the study has none.
    """
    if study.sampling_benchmark is None:
        raise SgtError(study.path, "no benchmark of images", "add one: the sheets show its scenes")
    return study.sampling_benchmark


def _beside(rows: Rows, path: Path) -> list[tuple[dict[str, Image.Image], Sample]]:
    samples = list(islice(read_shard(path), len(rows)))
    if len(samples) < len(rows):
        raise SgtError(path, f"{len(samples)} images, the sheet has {len(rows)}", "make it again with more")
    return list(zip(rows, samples, strict=True))


def _picture(sample: Sample, extension: str) -> Image.Image:
    return decode_image(sample.get(extension), f"{sample.shard}: {sample.key}.{extension}")
