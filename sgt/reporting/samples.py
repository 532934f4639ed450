"""Sheets of what the arms made: their own targets, and scenes from captions."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path

from PIL import Image

from sgt.config.benchmarks import ImageBenchmark
from sgt.data.dataset import open_dataset
from sgt.data.images import decode_image, image_of
from sgt.data.shards import Sample, read_shard
from sgt.errors import SgtError
from sgt.proxies.contact_sheet import contact_sheet
from sgt.study.load import LoadedStudy, Run

ROWS = 6
SIDE = 96

Rows = list[dict[str, Image.Image]]


def target_sheet(study: LoadedStudy) -> Image.Image:
    """Per held-out scene and proxy arm of the first seed: the image the arm saw, the target, and what the arm made.

    Raises:
        SgtError: the study has no held-out images.
    """
    if study.held_out is None:
        raise SgtError(study.path, "no held-out images", "name a dataset in data.held_out")
    scenes = open_dataset(study.dataset_dir(study.held_out))
    count = min(ROWS, study.study.data.held_out_samples, len(scenes))
    keys = scenes.keys[:count]

    def columns(rows: Rows, run: Run) -> None:
        if not run.proxy:
            return
        for row, sample in _with_keys(rows, study.drawn_targets(run), keys):
            if study.proxy(run.proxy).degrades:
                row[f"{run.arm}: shown"] = _picture(sample, "input.png")
            row[f"{run.arm}: target"] = _picture(sample, "target.png")
            row[f"{run.arm}: made"] = _picture(sample, "png")

    return _sheet(study, "input", [image_of(scenes[place]) for place in range(count)], columns)


def generated_sheet(study: LoadedStudy) -> Image.Image:
    """Per caption: the scene it describes, and what each run of the first seed made of it."""
    benchmark = _benchmark(study)
    name, scenes = benchmark.name, open_dataset(study.dataset_dir(benchmark.dataset))
    count = min(ROWS, benchmark.samples or len(scenes), len(scenes))

    def columns(rows: Rows, run: Run) -> None:
        for row, sample in _beside(rows, study.prediction_dir(run, name) / "images.tar"):
            row[run.arm] = _picture(sample, "png")

    return _sheet(study, "true scene", [image_of(scenes[place]) for place in range(count)], columns)


def _sheet(
    study: LoadedStudy, title: str, images: list[Image.Image], columns: Callable[[Rows, Run], None]
) -> Image.Image:
    """A part per model, one above the other; the columns of its runs of the first seed stand beside the scenes."""
    parts = []
    for model in study.study.models:
        name = title if len(study.study.models) == 1 else f"{model}: {title}"
        rows: Rows = [{name: image} for image in images]
        for run in study.runs:
            if run.model == model and run.seed == study.study.seeds[0]:
                columns(rows, run)
        parts.append(contact_sheet(rows, SIDE))
    whole = Image.new("RGB", (max(part.width for part in parts), sum(part.height for part in parts)), "white")
    for index, part in enumerate(parts):
        whole.paste(part, (0, sum(above.height for above in parts[:index])))
    return whole


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


def _with_keys(rows: Rows, path: Path, keys: list[str]) -> list[tuple[dict[str, Image.Image], Sample]]:
    samples = {sample.key: sample for sample in read_shard(path) if sample.key in keys}
    if missing := next((key for key in keys if key not in samples), None):
        raise SgtError(path, f"has no {missing}", "leave it out of the dataset, and make it again")
    return [(row, samples[key]) for row, key in zip(rows, keys, strict=True)]


def _picture(sample: Sample, extension: str) -> Image.Image:
    return decode_image(sample.get(extension), f"{sample.shard}: {sample.key}.{extension}")
