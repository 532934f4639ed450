"""Sheets of what the arms made: their own targets, and scenes from captions."""

from itertools import islice
from pathlib import Path

from PIL import Image

from sgt.data.dataset import open_dataset
from sgt.data.images import decode_image
from sgt.data.shards import Sample, read_shard
from sgt.errors import SgtError
from sgt.proxies.preview import contact_sheet
from sgt.study.benchmarks import Benchmark, GenerationProtocol
from sgt.study.load import LoadedStudy, Run

ROWS = 6
SIDE = 96

Rows = list[dict[str, Image.Image]]


def target_sheet(study: LoadedStudy) -> Image.Image:
    """Per held-out scene and proxy arm of the first seed: what was shown, the target, and what the arm made."""
    rows = _scenes(study, "input")
    for run in _first_seed(study):
        if not run.proxy:
            continue
        name = _title(study, run)
        for row, sample in _beside(rows, study.prediction_dir(run, "targets") / "images.tar"):
            if study.proxy(run.proxy).degrades:
                row[f"{name}: shown"] = _picture(sample, "input.png")
            row[f"{name}: target"] = _picture(sample, "target.png")
            row[f"{name}: made"] = _picture(sample, "png")
    return contact_sheet(rows, SIDE)


def generated_sheet(study: LoadedStudy) -> Image.Image:
    """Per caption: the scene it describes, and what each run of the first seed made of it."""
    rows = _scenes(study, "true scene")
    for run in _first_seed(study):
        path = study.prediction_dir(run, _benchmark(study).name) / "images.tar"
        for row, sample in _beside(rows, path):
            row[_title(study, run)] = _picture(sample, "png")
    return contact_sheet(rows, SIDE)


def _benchmark(study: LoadedStudy) -> Benchmark:
    """The generation benchmark, whose first scenes are shown."""
    return next(spec for spec in study.benchmarks.values() if isinstance(spec.protocol, GenerationProtocol))


def _scenes(study: LoadedStudy, title: str) -> Rows:
    spec = _benchmark(study)
    dataset = open_dataset(study.dataset_dir(spec.dataset))
    return [{title: _picture(dataset[place], "jpg")} for place in range(min(ROWS, spec.protocol.prompts))]


def _beside(rows: Rows, path: Path) -> list[tuple[dict[str, Image.Image], Sample]]:
    samples = list(islice(read_shard(path), len(rows)))
    if len(samples) < len(rows):
        raise SgtError(path, f"{len(samples)} images, {len(rows)} are shown", "make it again with more")
    return list(zip(rows, samples, strict=True))


def _first_seed(study: LoadedStudy) -> list[Run]:
    return [run for run in study.runs if run.seed == study.study.seeds[0]]


def _title(study: LoadedStudy, run: Run) -> str:
    return run.arm if len(study.study.models) == 1 else f"{run.model} {run.arm}"


def _picture(sample: Sample, extension: str) -> Image.Image:
    return decode_image(sample.get(extension), f"{sample.shard}: {sample.key}.{extension}")
