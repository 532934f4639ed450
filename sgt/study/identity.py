"""Identities: what decides each kind of result of a study, one function per kind.

Resuming a training, planning the workflow and refusing outdated results in tables all compare these identities, and
evidence shows them. Those of datasets and targets, which can also be made without a study, are in
:mod:`sgt.data.identity` and :mod:`sgt.proxies.render`.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from sgt.atomic import sha256
from sgt.config.analyses import AnalysisOptions
from sgt.config.benchmarks import Benchmark
from sgt.config.data import Subset
from sgt.config.models import Model
from sgt.config.recipe import WITHOUT_EFFECT
from sgt.config.study import ARM_WITHOUT_TRAINING, EQUAL_COMPUTE
from sgt.data.fetch import FETCHED, LOCK
from sgt.data.identity import dataset_content, dataset_identity, fetched_content, fetched_files, left_out
from sgt.identity import UNKNOWN, Identity, digest
from sgt.models.rules import model_identity
from sgt.proxies.render import target_content
from sgt.study.loaded import LoadedStudy
from sgt.study.runs import Run

# The files of a checkpoint that are read. Logs and records beside them are not.
ACCEPTANCE = "acceptance.json"
READ, NOT_READ = {".safetensors", ".json", ".txt"}, {"run.json", ACCEPTANCE, FETCHED, LOCK}
# Raise it when the weights that a recipe gives change.
TRAINER_VERSION = 1
# Raise it when the weights that a transplant has change.
TRANSPLANT_VERSION = 1
# Raise them when the layout of prediction files or of judgements, or the contents of score files change.
PREDICTION_SCHEMA = 2
JUDGEMENT_SCHEMA = 1
SCORE_SCHEMA = 4
# Raise it when a limit takes other samples of fetched benchmarks.
SELECTION = 2
# Raise it when the record of a treatment or what it measures changes.
TREATMENT_SCHEMA = 1
# Raise it when what the record of every analysis has changes; an analysis's own version says what it computes.
ANALYSIS_SCHEMA = 1
# Raise it when the contents of evidence.json change.
EVIDENCE_SCHEMA = 1


def run_identity(study: LoadedStudy, run: Run) -> Identity:
    """What decides a run's weights. Those of the arm ``base`` are the model's own."""
    spec = study.models[run.model]
    base = {"model": model_identity(spec), "base": base_content(spec)}
    if run.arm == ARM_WITHOUT_TRAINING:
        return base
    recipe = study.recipe(run.model, run.arm).model_dump(mode="json", exclude=WITHOUT_EFFECT)
    identity = {
        **base,
        "recipe": recipe,
        "trainer": TRAINER_VERSION,
        "seed": run.seed,
        "questions": _training_data(study, study.questions),
    }
    if run.arm == EQUAL_COMPUTE:
        identity["batch"] = study.sft_compute_batches[run.model]
    if run.proxy:
        identity["proxy"] = study.proxy(run.proxy).identity
        identity["images"] = _training_data(study, study.image_subset(run.proxy))
        shards = study.target_shards(run.proxy)
        identity["targets"] = [target_content(study.target_dir(run.proxy) / shard) for shard in shards]
    return identity


def transplant_identity(study: LoadedStudy, run: Run, into_sha256: str, parts_from_sha256: str) -> Identity:
    """What decides the weights of a transplant: those of both runs that it is made of, and which parts are taken."""
    spec = study.models[run.model]
    return {
        "model": model_identity(spec),
        "base": base_content(spec),
        "transplant": TRANSPLANT_VERSION,
        "into": into_sha256,
        "parts_from": parts_from_sha256,
        "parts": sorted(study.study.transplants[run.arm].parts),
    }


def prediction_identity(study: LoadedStudy, run: Run, benchmark: Benchmark, checkpoint_sha256: str) -> Identity:
    """What decides what a run with these weights predicts on a benchmark."""
    return {
        "checkpoint": checkpoint_sha256,
        "model": _inference_settings(study, run),
        "options": benchmark.prediction_options,
        "version": benchmark.version,
        "data": _rows(study, benchmark),
        "schema": PREDICTION_SCHEMA,
    }


def treatment_identity(study: LoadedStudy, run: Run, checkpoint_sha256: str) -> Identity:
    """What decides whether a proxy arm with these weights learned its proxy, and what it makes of held-out images.

    Raises:
        ValueError: the study has no dataset to check it on.
    """
    if study.held_out is None:
        raise ValueError(f"{study.path}: no held-out images")
    return {
        "checkpoint": checkpoint_sha256,
        "model": _inference_settings(study, run),
        "proxy": study.proxy(run.arm).identity,
        "sampling": study.target_sampling.model_dump(mode="json"),
        "data": _dataset(study, study.held_out),
        "samples": study.study.data.held_out_samples,
        "schema": TREATMENT_SCHEMA,
    }


def analysis_identity(
    study: LoadedStudy, run: Run, options: AnalysisOptions, checkpoint_sha256: str, read: Mapping[str, Any]
) -> Identity:
    """What decides what an analysis finds in a run's model with these weights.

    Args:
        study, run: whose model.
        options: of the analysis.
        checkpoint_sha256: of the run's weights.
        read: findings of other analyses that it reads, by the run's id.
    """
    identity = {
        "checkpoint": checkpoint_sha256,
        "model": _inference_settings(study, run),
        "options": options.identity,
        "data": _dataset(study, options.dataset),
        "schema": ANALYSIS_SCHEMA,
    }
    if read:
        identity["read"] = {run_id: digest(findings) for run_id, findings in read.items()}
    if options.asks is not None:
        benchmark = study.benchmarks[options.asks]
        identity["benchmark"] = {
            "options": benchmark.prediction_options,
            "scoring": benchmark.scoring_options,
            "version": benchmark.version,
            "data": _rows(study, benchmark),
        }
    return identity


def judgement_identity(benchmark: Benchmark, predictions: dict) -> Identity:
    """What decides judgements.

    Args:
        benchmark: says how predictions are judged.
        predictions: their record, ``meta.json``.
    """
    return {
        "predictions": predictions["predictions_sha256"],
        "of": predictions["identity"],
        "judging": benchmark.judging_options,
        "evaluators": [fetched_content(Path(folder)) for folder in benchmark.downloads],
        "schema": JUDGEMENT_SCHEMA,
    }


def score_identity(benchmark: Benchmark, made: dict) -> Identity:
    """What decides a score.

    Args:
        benchmark: says how they are scored.
        made: what is scored, by its record ``meta.json``: judgements of a judged benchmark, else predictions.
    """
    if benchmark.judged:
        return {
            "judgements": made["judgements_sha256"],
            "of": made["identity"],
            "scoring": benchmark.scoring_options,
            "schema": SCORE_SCHEMA,
        }
    return {
        "predictions": made["predictions_sha256"],
        "of": made["identity"],
        "scoring": benchmark.scoring_options,
        "evaluators": [fetched_content(Path(folder)) for folder in benchmark.downloads],
        "schema": SCORE_SCHEMA,
    }


def page_identity(study: LoadedStudy, records: Sequence[Path]) -> Identity:
    """What decides tables, figures and report.

    Args:
        study: names, order of the arms, and which models are released weights.
        records: of everything that is reported.
    """
    contents = {str(path.relative_to(study.results)): sha256(path) for path in records}
    # It changes no weights, but what pages call a model, and what they compare it with.
    released = {name: spec.released.model_dump(mode="json") for name, spec in study.models.items() if spec.released}
    also = {"released": released} if released else {}
    return {"study": study.study.name, "arms": study.study.arms, "records": contents, **also}


def evidence_identity(study: LoadedStudy, records: Sequence[Path]) -> Identity:
    """What decides a study's ``evidence.json``; the arguments are those of :func:`page_identity`."""
    return {**page_identity(study, records), "schema": EVIDENCE_SCHEMA}


def base_content(spec: Model) -> str:
    """Hash of a model's base checkpoint and of what is laid over it; unknown where one of them is not there."""
    contents = [_checkpoint_files(folder) for folder in spec.weight_folders]
    return UNKNOWN if None in contents else digest([digest(files) for files in contents])


def base_files(spec: Model) -> dict[Path, str]:
    """SHA-256 of each file that :func:`base_content` sums up; none of a folder that is not there."""
    return {
        folder / name: content
        for folder in spec.weight_folders
        for name, content in (_checkpoint_files(folder) or {}).items()
    }


def is_checkpoint_file(path: Path) -> bool:
    """Whether a file of a checkpoint's folder is part of the model."""
    return path.suffix in READ and path.name not in NOT_READ


def _checkpoint_files(folder: Path) -> dict[str, str] | None:
    """SHA-256 of each file of a checkpoint, by its path in the folder; None if it has no weights."""
    if (fetched := fetched_files(folder)) is not None:
        return fetched
    files = [path for path in sorted(folder.rglob("*")) if is_checkpoint_file(path)]
    if not any(path.suffix == ".safetensors" for path in files):
        return None
    return {str(path.relative_to(folder)): _sha256(path, path.stat().st_mtime_ns) for path in files}


@lru_cache
def _sha256(path: Path, written: int) -> str:
    """Of a file as it was written then: hashed once in a process, however many runs start from it."""
    return sha256(path)


def _dataset(study: LoadedStudy, name: str) -> Identity:
    folder = study.dataset_dir(name)
    wanted = dataset_identity(study.study.datasets[name], study.source_dir(name), folder)
    return {"made": wanted, "content": dataset_content(folder)}


def _rows(study: LoadedStudy, benchmark: Benchmark) -> Identity:
    """What a benchmark's rows are made from: a dataset, or what was fetched."""
    if benchmark.dataset is not None:
        return _dataset(study, benchmark.dataset)
    # Which samples a limit takes is decided by the task.
    limited = {} if benchmark.samples is None else {"selection": SELECTION}
    return {"content": digest([fetched_content(folder) for folder in study.rows_dirs(benchmark)]), **limited}


def _training_data(study: LoadedStudy, subset: Subset) -> Identity:
    """What is trained on of a dataset, without the samples that some model cannot take."""
    limit = {} if subset.limit is None else {"limit": subset.limit}
    return {**_dataset(study, subset.dataset), "left_out": left_out(study.dataset_dir(subset.dataset)), **limit}


def _inference_settings(study: LoadedStudy, run: Run) -> dict:
    spec = study.models[run.model]
    return {**model_identity(spec), "precision": spec.precision}
