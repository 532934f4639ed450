"""Which samples of a dataset the models of a study cannot take, found before anything is learned.

A sample that one model cannot take is left out for every model and arm, so that all are compared on the same data. The
verdict stands in ``screened.json`` beside the shards; it holds for the dataset, models and limits that it was made
for, and is made anew for others.
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
from sgt.config.models import Model
from sgt.data.dataset import ShardDataset, open_dataset
from sgt.data.shards import MANIFEST, SCREENED, read_manifest, scan_shard
from sgt.errors import SgtError
from sgt.progress import Progress
from sgt.study.load import LoadedStudy
from sgt.training.judging import Judge, Refusal, Use, most_tokens, uses_of

log = logging.getLogger("sgt")
# A process of its own takes seconds to start; it judges so many samples meanwhile.
_PER_PROCESS = 2000
# How many keys a message names.
_NAMED = 5


@dataclass(frozen=True)
class Screening:
    """The verdict on a dataset.

    Attributes:
        folder: of the dataset.
        counts: samples by the name of a shard's file.
        refused: in the order of the dataset.
    """

    folder: Path
    counts: dict[str, int]
    refused: list[Refusal]

    @property
    def left_out(self) -> set[tuple[str, str]]:
        """Shard and key of each sample that is left out of training and validation."""
        return {(one.shard, one.key) for one in self.refused if one.in_training}

    def check_training(self, max_bad: float) -> None:
        """See that training leaves out no more samples of a shard than may be refused.

        Raises:
            SgtError: it does.
        """
        for shard, count in self.counts.items():
            bad = [one for one in self.refused if one.in_training and one.shard == shard]
            if len(bad) > max_bad * count:
                problem = _told(bad, f"{len(bad)} of {count} samples")
                raise SgtError(self.folder / shard, problem, "mend the data, or allow more in data.max_bad")


def screened(study: LoadedStudy, name: str, workers: int | None = None) -> Screening:
    """The verdict on a dataset: the one that stands beside it, if that was made for this study, or a new one.

    Args:
        study: whose models' base checkpoints must be there.
        name: of the dataset.
        workers: processes, at most; None for as many as there are processors.

    Raises:
        SgtError: the dataset or a checkpoint is missing or damaged.
    """
    folder = study.dataset_dir(name)
    counts = {shard["file"]: shard["count"] for shard in read_manifest(folder)["shards"]}
    judged_for = _judged_for(study, name)
    refused = _read(folder / SCREENED, judged_for)
    if refused is None:
        refused = _judged(study, name, counts, workers or processors())
        if refused:
            log.warning("%s: %d of %d samples are refused", folder / SCREENED, len(refused), sum(counts.values()))
        write_json(
            folder / SCREENED,
            {
                "judged_for": judged_for,
                "samples": sum(counts.values()),
                "refused": [asdict(one) for one in refused],
                "left_out": sorted({(one.shard, one.key) for one in refused if one.in_training}),
            },
        )
    return Screening(folder, counts, refused)


def check_items(study: LoadedStudy, benchmark: Benchmark, dataset: ShardDataset) -> None:
    """See that every model of the study can take all items of a benchmark, none of which may be left out.

    Raises:
        SgtError: one cannot take some, or as :func:`screened` does.
    """
    items = min(benchmark.samples or len(dataset), len(dataset))
    places = {dataset.place(index) for index in range(items)}
    screening = screened(study, benchmark.dataset)
    use = Use("benchmark", benchmark=benchmark).name
    bad = [one for one in screening.refused if use in one.uses and (one.shard, one.key) in places]
    if bad:
        problem = _told(bad, f"{len(bad)} of {items} items of {use}")
        raise SgtError(screening.folder / bad[0].shard, problem, "mend the data: items must not change silently")


def screened_dataset(study: LoadedStudy, name: str) -> ShardDataset:
    """The samples of a dataset that every model of the study can be trained on, in their order.

    Raises:
        SgtError: more are left out than ``data.max_bad`` allows, or as :func:`screened` does.
    """
    return open_dataset(study.dataset_dir(name)).without(left_out(study, name))


def left_out(study: LoadedStudy, name: str) -> set[tuple[str, str]]:
    """Shard and key of the samples that :func:`screened_dataset` lacks; raises as it does."""
    screening = screened(study, name)
    screening.check_training(study.study.data.max_bad)
    return screening.left_out


def _judged_for(study: LoadedStudy, name: str) -> dict:
    """What decides a verdict, as JSON gives it back."""
    models = {
        spec.name: {**_sight(spec), "max_tokens": most_tokens(study, spec.name)} for spec in study.models.values()
    }
    uses = [use.identity for use in uses_of(study, name)]
    about = {"manifest_sha256": sha256(study.dataset_dir(name) / MANIFEST), "uses": uses, "models": models}
    return json.loads(json.dumps(about))


def _sight(spec: Model) -> dict:
    """What decides which examples a model can take: its images, and its tokenizer and sizes by hash."""
    folder, digest = Path(spec.checkpoint), hashlib.sha256()
    for path in sorted(folder.rglob("*.json")):
        if "config" in path.name or "tokenizer" in path.name:
            digest.update(f"{path.relative_to(folder)} {sha256(path)}\n".encode())
    return {**spec.model_dump(include={"family", "vit_image", "vqa_image", "vae_image"}), "files": digest.hexdigest()}


def _read(path: Path, judged_for: dict) -> list[Refusal] | None:
    """The refusals of a verdict that was made for the same, if there is one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return [Refusal(**one) for one in content["refused"]] if content["judged_for"] == judged_for else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _judged(study: LoadedStudy, name: str, counts: dict[str, int], workers: int) -> list[Refusal]:
    if not uses_of(study, name):
        return []
    folder, total = study.dataset_dir(name), sum(counts.values())
    progress = Progress(f"samples of {name} judged", total)
    workers = min(workers, len(counts), max(1, total // _PER_PROCESS))
    refused = []
    if workers == 1:
        judge = Judge(study, name)
        for shard in counts:
            for verdict in _verdicts(judge, folder / shard):
                refused += [verdict] if verdict else []
                progress.add()
        return refused
    # Processes that share nothing with this one, whose libraries may have threads.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, spawn, _start_worker, (study, name)) as pool:
        for shard, found in zip(counts, pool.map(_refused_of, [folder / shard for shard in counts]), strict=True):
            refused += found
            progress.add(counts[shard])
    return refused


def _verdicts(judge: Judge, shard: Path) -> Iterator[Refusal | None]:
    for key, members in groupby(scan_shard(shard), key=lambda member: member.key):
        yield judge.judge(shard, key, list(members))


def _start_worker(study: LoadedStudy, name: str) -> None:
    global _judge
    torch.set_num_threads(1)
    _judge = Judge(study, name)


def _refused_of(shard: Path) -> list[Refusal]:
    return [verdict for verdict in _verdicts(_judge, shard) if verdict]


def _told(refused: list[Refusal], many: str) -> str:
    """Why the first is refused, and how many are."""
    keys = ", ".join(one.key for one in refused[:_NAMED]) + (", …" if len(refused) > _NAMED else "")
    return f"{refused[0].reason} (for {', '.join(refused[0].models)}; {many} refused: {keys})"


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))
