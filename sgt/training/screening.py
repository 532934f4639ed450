"""Finding the samples of a dataset that the models of a study cannot take, before anything is trained.

A sample that one model cannot take is left out for every model and arm, so that all are compared on the same data. The
result is ``screened.json`` beside the shards. It is valid for one state of the dataset, models and limits, and is
replaced when any of them changes.
"""

import hashlib
import json
import logging
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

import torch

from sgt.atomic import sha256, write_json
from sgt.config.benchmarks import Benchmark
from sgt.config.data import Subset
from sgt.config.models import Model
from sgt.data.dataset import ShardDataset, open_dataset
from sgt.data.manifest import MANIFEST, SCREENED, read_manifest
from sgt.data.processes import lost_processes
from sgt.data.shards import scan_shard
from sgt.errors import SgtError
from sgt.models.rules import model_identity
from sgt.progress import Progress
from sgt.study.loaded import LoadedStudy
from sgt.training.sample_checks import DatasetUse, RefusedSample, SampleChecker, pack_limit, uses_of

log = logging.getLogger("sgt")
# Fewer samples are checked in less time than a worker process takes to start.
_PER_PROCESS = 2000
# Number of keys in a message.
_NAMED = 5


@dataclass(frozen=True)
class Screening:
    """Result of screening a dataset.

    Attributes:
        folder: of the dataset.
        counts: number of samples by file name of the shard.
        refused: in the order of the dataset.
    """

    folder: Path
    counts: dict[str, int]
    refused: list[RefusedSample]

    @property
    def left_out(self) -> set[tuple[str, str]]:
        """Shard and key of each sample that is left out of training and validation."""
        return {(one.shard, one.key) for one in self.refused if one.in_training}

    def check_training(self, max_bad: float) -> None:
        """Check that training leaves out no more samples of any shard than allowed.

        Raises:
            SgtError: it leaves out more.
        """
        of_shard: dict[str, list[RefusedSample]] = {}
        for one in self.refused:
            if one.in_training:
                of_shard.setdefault(one.shard, []).append(one)
        for shard, count in self.counts.items():
            bad = of_shard.get(shard, [])
            if len(bad) > max_bad * count:
                problem = _summary(bad, f"{len(bad)} of {count} samples")
                raise SgtError(self.folder / shard, problem, "correct the data, or allow more in data.max_bad")


def screened(study: LoadedStudy, name: str, workers: int | None = None) -> Screening:
    """Screen a dataset, unless its ``screened.json`` is valid for this study.

    Args:
        study: its models' base checkpoints must exist.
        name: of the dataset.
        workers: processes, at most; None for the number of processors.

    Raises:
        SgtError: the dataset or a checkpoint is missing or damaged.
    """
    folder = study.dataset_dir(name)
    counts = {shard["file"]: shard["count"] for shard in read_manifest(folder)["shards"]}
    conditions = _conditions(study, name)
    refused = _read(folder / SCREENED, conditions)
    if refused is None:
        refused = _check_samples(study, name, counts, workers or processors())
        if refused:
            log.warning("%s: %d of %d samples are refused", folder / SCREENED, len(refused), sum(counts.values()))
        write_json(
            folder / SCREENED,
            {
                "judged_for": conditions,
                "samples": sum(counts.values()),
                "refused": [asdict(one) for one in refused],
                "left_out": sorted({(one.shard, one.key) for one in refused if one.in_training}),
            },
        )
    return Screening(folder, counts, refused)


def check_items(study: LoadedStudy, benchmark: Benchmark, name: str) -> None:
    """Check that every model of the study can take all items of a benchmark, none of which may be left out.

    Args:
        study: its models.
        benchmark: what is asked.
        name: of the benchmark's dataset.

    Raises:
        SgtError: a model cannot take an item; or see :func:`screened`.
    """
    dataset = open_dataset(study.dataset_dir(name))
    items = min(benchmark.samples or len(dataset), len(dataset))
    screening = screened(study, name)
    use = DatasetUse("benchmark", benchmark=benchmark).name
    asked, refused = dataset.first(items), [one for one in screening.refused if use in one.uses]
    places = {asked.place(index) for index in asked.indices({(one.shard, one.key) for one in refused})}
    bad = [one for one in refused if (one.shard, one.key) in places]
    if bad:
        problem = _summary(bad, f"{len(bad)} of {items} items of {use}")
        raise SgtError(screening.folder / bad[0].shard, problem, "correct the data: items are never left out")


def screened_dataset(study: LoadedStudy, subset: Subset) -> ShardDataset:
    """The samples of a subset that every model of the study can be trained on, in their order.

    Raises:
        SgtError: more are left out than ``data.max_bad`` allows, or all; or see :func:`screened`.
    """
    folder = study.dataset_dir(subset.dataset)
    kept = open_dataset(folder).first(subset.limit).without(left_out(study, subset.dataset))
    return require_samples(kept, folder)


def require_samples(dataset: ShardDataset, folder: Path) -> ShardDataset:
    """What is left of the dataset in a folder.

    Raises:
        SgtError: nothing is.
    """
    if not len(dataset):
        raise SgtError(folder, "no model can take any of the samples that are used", "raise the limit, or correct them")
    return dataset


def left_out(study: LoadedStudy, name: str) -> set[tuple[str, str]]:
    """Shard and key of the samples that :func:`screened_dataset` leaves out; raises the same errors."""
    screening = screened(study, name)
    screening.check_training(study.study.data.max_bad)
    return screening.left_out


def _conditions(study: LoadedStudy, name: str) -> dict:
    """What decides the result of screening, as it is read from JSON."""
    models = {
        spec.name: {**_limits(spec), "max_tokens": pack_limit(study, spec.name)} for spec in study.models.values()
    }
    uses = [use.identity for use in uses_of(study, name)]
    about = {"manifest_sha256": sha256(study.dataset_dir(name) / MANIFEST), "uses": uses, "models": models}
    return json.loads(json.dumps(about))


def _limits(spec: Model) -> dict:
    """What decides which examples a model can take: its images, and its tokenizer and sizes by hash."""
    folder, digest = Path(spec.checkpoint), hashlib.sha256()
    for path in sorted(folder.rglob("*.json")):
        if "config" in path.name or "tokenizer" in path.name:
            digest.update(f"{path.relative_to(folder)} {sha256(path)}\n".encode())
    return {**model_identity(spec), "files": digest.hexdigest()}


def _read(path: Path, conditions: dict) -> list[RefusedSample] | None:
    """The refused samples in a ``screened.json``; None if it is missing, damaged or of other conditions."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return [RefusedSample(**one) for one in content["refused"]] if content["judged_for"] == conditions else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


_checker: SampleChecker  # of a worker process


def _check_samples(study: LoadedStudy, name: str, counts: dict[str, int], workers: int) -> list[RefusedSample]:
    if not uses_of(study, name):
        return []
    folder, total = study.dataset_dir(name), sum(counts.values())
    progress = Progress(f"samples of {name} checked", total)
    workers = min(workers, len(counts), max(1, total // _PER_PROCESS))
    refused = []
    if workers == 1:
        checker = SampleChecker(study, name)
        for shard in counts:
            for result in _check_shard(checker, folder / shard):
                refused += [result] if result else []
                progress.add()
        return refused
    # Spawned, not forked: libraries of this process may have started threads.
    spawn = multiprocessing.get_context("spawn")
    with lost_processes(folder), ProcessPoolExecutor(workers, spawn, _start_worker, (study, name)) as pool:
        for shard, found in zip(counts, pool.map(_refused_of, [folder / shard for shard in counts]), strict=True):
            refused += found
            progress.add(counts[shard])
    return refused


def _check_shard(checker: SampleChecker, shard: Path) -> Iterator[RefusedSample | None]:
    for key, members in groupby(scan_shard(shard), key=lambda member: member.key):
        yield checker.check(shard, key, list(members))


def _start_worker(study: LoadedStudy, name: str) -> None:
    global _checker
    torch.set_num_threads(1)
    _checker = SampleChecker(study, name)


def _refused_of(shard: Path) -> list[RefusedSample]:
    return [result for result in _check_shard(_checker, shard) if result]


def _summary(refused: list[RefusedSample], count: str) -> str:
    """Why the first sample is refused, and how many are."""
    keys = ", ".join(one.key for one in refused[:_NAMED]) + (", …" if len(refused) > _NAMED else "")
    return f"{refused[0].reason} (for {', '.join(refused[0].models)}; {count} refused: {keys})"


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))
