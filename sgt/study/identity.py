"""What decides each kind of result of a study: one function per kind.

Training resumes by it, the workflow plans by it, tables refuse by it, evidence shows it. What decides datasets and
targets, which are also made without a study, is in :mod:`sgt.data.identity` and :mod:`sgt.proxies.render`.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from sgt.atomic import sha256
from sgt.config.benchmarks import Benchmark
from sgt.config.models import Model
from sgt.config.recipe import WITHOUT_EFFECT
from sgt.config.study import ARM_WITHOUT_TRAINING
from sgt.data.fetch import FETCHED, LOCK
from sgt.data.identity import dataset_content, dataset_identity, fetched_content, left_out
from sgt.data.shards import shard_name
from sgt.identity import UNKNOWN, Identity, digest
from sgt.proxies.render import target_content
from sgt.study.load import LoadedStudy, Run

# What a model's file says of how images are shown to it and made by it; where its weights lie is not what they are.
OF_MODEL = {"family", "vit_image", "vqa_image", "vae_image"}
# The files of a checkpoint that are read. Logs and records beside them are not.
READ, NOT_READ = {".safetensors", ".json", ".txt"}, {"run.json", FETCHED, LOCK}
# Raised by whoever changes what a recipe makes of a model and its data.
TRAINER_VERSION = 1
# Raised by whoever changes how predictions are laid out, and what score files hold.
PREDICTION_SCHEMA = 2
SCORE_SCHEMA = 3


def run_identity(study: LoadedStudy, run: Run) -> Identity:
    """What decides a run's weights. Those of the arm ``base`` are the model's own."""
    spec = study.models[run.model]
    base = {"model": spec.model_dump(mode="json", include=OF_MODEL), "base": base_content(spec)}
    if run.arm == ARM_WITHOUT_TRAINING:
        return base
    recipe = study.recipe(run.model, run.arm).model_dump(mode="json", exclude=WITHOUT_EFFECT)
    identity = {
        **base,
        "recipe": recipe,
        "trainer": TRAINER_VERSION,
        "seed": run.seed,
        "questions": _learned(study, study.study.data.vqa),
    }
    if run.proxy:
        identity["proxy"] = study.proxy(run.proxy).choices
        identity["images"] = _learned(study, study.images(run.proxy))
        shards = range(study.study.datasets[study.images(run.proxy)].shards)
        identity["targets"] = [target_content(study.target_dir(run.proxy) / shard_name(index)) for index in shards]
    return identity


def prediction_identity(study: LoadedStudy, run: Run, benchmark: Benchmark, checkpoint_sha256: str) -> Identity:
    """What decides what a run with these weights answers to, or makes of, a benchmark."""
    return {
        "checkpoint": checkpoint_sha256,
        "model": _predicting(study, run),
        "options": benchmark.prediction_options,
        "version": benchmark.version,
        "data": _dataset(study, benchmark.dataset),
        "schema": PREDICTION_SCHEMA,
    }


def drawing_identity(study: LoadedStudy, run: Run, checkpoint_sha256: str) -> Identity:
    """What decides what a proxy arm with these weights draws of held-out scenes."""
    benchmark = study.drawing_benchmark
    return {
        "checkpoint": checkpoint_sha256,
        "model": _predicting(study, run),
        "proxy": study.proxy(run.arm).choices,
        "sampling": benchmark.sampling.model_dump(mode="json"),
        "data": _dataset(study, benchmark.dataset),
    }


def score_identity(benchmark: Benchmark, predictions: dict) -> Identity:
    """What decides a score.

    Args:
        benchmark: says how they are scored.
        predictions: their record, ``meta.json``.
    """
    return {
        "predictions": predictions["predictions_sha256"],
        "of": predictions["identity"],
        "scoring": benchmark.scoring_options,
        "evaluators": [fetched_content(Path(folder)) for folder in benchmark.downloads],
        "schema": SCORE_SCHEMA,
    }


def page_identity(study: LoadedStudy, records: Sequence[Path]) -> Identity:
    """What decides tables, figures and report.

    Args:
        study: names and order.
        records: of everything that is told.
    """
    told = {str(path.relative_to(study.results)): sha256(path) for path in records}
    return {"study": study.study.name, "arms": study.study.arms, "records": told}


def base_content(spec: Model) -> str:
    """Hash of a model's base checkpoint and of what is laid over it; unknown where one of them is not there."""
    contents = [_checkpoint_content(Path(folder)) for folder in (spec.checkpoint, spec.overlay) if folder]
    return UNKNOWN if UNKNOWN in contents else digest(contents)


def is_read(path: Path) -> bool:
    """Whether a file of a checkpoint's folder is part of the model."""
    return path.suffix in READ and path.name not in NOT_READ


def _checkpoint_content(folder: Path) -> str:
    if (fetched := fetched_content(folder)) != UNKNOWN:
        return fetched
    files = [path for path in sorted(folder.rglob("*")) if is_read(path)]
    if not any(path.suffix == ".safetensors" for path in files):
        return UNKNOWN
    return digest({str(path.relative_to(folder)): _sha256(path, path.stat().st_mtime_ns) for path in files})


@lru_cache
def _sha256(path: Path, written: int) -> str:
    """Of a file as it was written then: hashed once in a process, however many runs start from it."""
    return sha256(path)


def _dataset(study: LoadedStudy, name: str) -> Identity:
    wanted = dataset_identity(study.study.datasets[name], study.download_of(name))
    return {"made": wanted, "content": dataset_content(study.dataset_dir(name))}


def _learned(study: LoadedStudy, name: str) -> Identity:
    """A dataset that is trained on, without what some model cannot take."""
    return {**_dataset(study, name), "left_out": left_out(study.dataset_dir(name))}


def _predicting(study: LoadedStudy, run: Run) -> dict:
    return study.models[run.model].model_dump(mode="json", include={*OF_MODEL, "precision"})
